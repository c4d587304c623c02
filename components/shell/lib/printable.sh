# shellcheck shell=sh
# What somebody else has chosen, on its way to a journal, a terminal or a log.

# printable LINES [PREFIX] <text — the first LINES of it, none longer than 200 characters:
# plain ASCII, with "?" for all else, behind PREFIX. Reads no more than 4 KB, from one that never ends too. journald takes
# "<0>" at the beginning of a line for a priority and writes such a line to every terminal; GitHub takes "::" for a command.
printable() {
  head -c 4096 | LC_ALL=C tr -c '\n -~' '?' | LC_ALL=C awk -v lines="$1" -v prefix="${2-}" '
    { sub(/^[ ?]*(<[0-9]*>|::|##)+/, "") }
    NR <= lines { print prefix substr($0, 1, 200) }'
}
