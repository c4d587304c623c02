# shellcheck shell=sh
# Makes text that somebody else has chosen safe for a journal, a terminal or a log.

# printable LINES [PREFIX] <text — the first LINES of it, each of 200 characters at most: plain ASCII, with "?" for all
# else, and PREFIX before it. ssh's own lines end with CR LF. Reads no more than 4 KB, even of a text that never ends. journald takes "<0>" at the beginning
# of a line for a priority and writes such a line to every terminal; GitHub takes "::" for a command.
printable() {
  head -c 4096 | tr -d '\r' | LC_ALL=C tr -c '\n -~' '?' | LC_ALL=C awk -v lines="$1" -v prefix="${2-}" '
    { sub(/^[ ?]*(<[0-9]*>|::|##)+/, "") }
    NR <= lines { print prefix substr($0, 1, 200) }'
}
