// Adds a button that copies the code; without this script the code is still there to be marked and copied by hand.
"use strict";
const code = document.getElementById("code");
const button = document.getElementById("copy");
const copied = document.getElementById("copied");

function mark() {
  getSelection().selectAllChildren(code);
}

async function copy() {
  mark();
  try {
    // the clipboard is there for secure pages only, which a platform called by http from elsewhere is not
    if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent.trim());
    else if (!document.execCommand("copy")) throw new Error("refused");
    button.textContent = "Copied";
    copied.textContent = "Paste it in your terminal; then you can close this window.";
  } catch {
    copied.textContent = "Your browser does not allow copying: press Ctrl+C or ⌘C, the code is marked already.";
  }
}

code.addEventListener("focus", mark);
button.addEventListener("click", copy);
button.hidden = false;
