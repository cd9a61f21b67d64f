# Completion of neuro for bash. Source it, or put it where bash-completion looks.
_neuro_complete() {
    local IFS=$'\n' line kind word
    COMPREPLY=()
    while IFS=$'\t' read -r kind word _; do
        case $kind in
            plain) COMPREPLY+=("$word") ;;
            file) compopt -o filenames -o default 2>/dev/null ;;
            dir) compopt -o filenames -o dirnames 2>/dev/null ;;
        esac
    done < <(printf '%s\n' "${COMP_WORDS[@]:0:COMP_CWORD+1}" |
        COMP_CWORD=$COMP_CWORD _NEURO_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _neuro_complete neuro 2>/dev/null || complete -F _neuro_complete neuro
