# Completion of neuro for fish. Source it, or put it into ~/.config/fish/completions.
function __neuro_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l count (math (count $words) - 1)
    for line in (printf '%s\n' $words | env COMP_CWORD=$count _NEURO_COMPLETE=fish_complete $words[1] 2>/dev/null)
        set -l parts (string split \t -- $line)
        switch $parts[1]
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end
complete --no-files --keep-order --command neuro --arguments '(__neuro_complete)'
