"""Completion in bash, zsh and fish: the code that the shell runs, and the answers; nothing asks a platform.

``python -m neuro_cli.complete FOLDER`` writes the code for every shell into a folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, ShellComplete

from neuro_cli.root import Root

# The shell hands over the words up to the cursor, one per line as nothing else is safe in all three, and the number
# of the word under the cursor. The answer has one item per line: a kind, then the word, then a help text.
_BASH: Final = """\
# Completion of neuro for bash. Source it, or put it where bash-completion looks.
_neuro_complete() {
    local IFS=$'\\n' line kind word
    COMPREPLY=()
    while IFS=$'\\t' read -r kind word _; do
        case $kind in
            plain) COMPREPLY+=("$word") ;;
            file) compopt -o filenames -o default 2>/dev/null ;;
            dir) compopt -o filenames -o dirnames 2>/dev/null ;;
        esac
    done < <(printf '%s\\n' "${COMP_WORDS[@]:0:COMP_CWORD+1}" |
        COMP_CWORD=$COMP_CWORD _NEURO_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _neuro_complete neuro 2>/dev/null || complete -F _neuro_complete neuro
"""

_ZSH: Final = """\
#compdef neuro
# Completion of neuro for zsh. Source it after compinit, or put it as _neuro into a folder of $fpath.
_neuro() {
    local -a plain
    local kind word about
    while IFS=$'\\t' read -r kind word about; do
        case $kind in
            plain) plain+=("${word//:/\\\\:}${about:+:$about}") ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done < <(printf '%s\\n' "${(@)words[1,CURRENT]}" |
        COMP_CWORD=$((CURRENT - 1)) _NEURO_COMPLETE=zsh_complete "${words[1]}" 2>/dev/null)
    (( ${#plain} )) && _describe -V neuro plain
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _neuro "$@"
else
    compdef _neuro neuro
fi
"""

_FISH: Final = """\
# Completion of neuro for fish. Source it, or put it into ~/.config/fish/completions.
function __neuro_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l count (math (count $words) - 1)
    for line in (printf '%s\\n' $words | env COMP_CWORD=$count _NEURO_COMPLETE=fish_complete $words[1] 2>/dev/null)
        set -l parts (string split \\t -- $line)
        switch $parts[1]
            case plain
                printf '%s\\t%s\\n' $parts[2] $parts[3]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end
complete --no-files --keep-order --command neuro --arguments '(__neuro_complete)'
"""

CODE: Final[Mapping[str, str]] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
FILES: Final[Mapping[str, str]] = {"bash": "neuro.bash", "zsh": "_neuro", "fish": "neuro.fish"}


def answer(cli: click.Command, instruction: str) -> int:
    """Print what may stand under the cursor; the words come on standard input or as ``COMP_WORDS``."""
    shell, _, verb = instruction.partition("_")
    if verb != "complete" or shell not in CODE:
        return 1
    given = os.environ.get("COMP_WORDS")
    words = sys.stdin.read().split("\n")[:-1] if given is None else given.split()
    at = int(os.environ.get("COMP_CWORD", len(words) - 1))
    incomplete = words[at] if at < len(words) else ""
    for item in _Completer(cli, {"obj": Root()}, "neuro", "").get_completions(words[1:at], incomplete):
        about = " ".join((item.help or "").split())
        sys.stdout.write(f"{item.type}\t{item.value}\t{about}\n")
    return 0


class _Completer(ShellComplete):
    """click's reading of a half-typed command line."""

    name = "neuro"

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What may follow; nothing for a line that makes no sense."""
        try:
            return super().get_completions(args, incomplete)
        except click.ClickException:
            return []


def write(folder: Path) -> None:
    """Write the code for every shell."""
    folder.mkdir(parents=True, exist_ok=True)
    for shell, text in CODE.items():
        (folder / FILES[shell]).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
