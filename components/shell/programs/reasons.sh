# shellcheck shell=sh
# Why a forward is down: a code for programs, which is kept, and the same in words for people. What a check finds is another
# account's to say, so that no more than a code of these is taken from it.
#   no-connection  ssh is not connected, or only just connecting: systemd starts it again
#   ssh-hangs      it does not answer on its control socket
#   no-listener    nothing listens there, or nothing of the tunnel's
#   taken:USER     a program of that user listens there, or on one of several addresses
#   nothing-back   no SSH banner comes back through it
#   target-down    the target sends none, asked without the tunnel

# Functions for awk: is_reason(code), words(code, leads_to), and name_of(code), without what it says of whom.
# shellcheck disable=SC2034,SC2016  # for those that need this; awk's own "$"
REASON_WORDS='
  function is_reason(code) { return length(code) < 64 && code ~ /^(no-connection|ssh-hangs|no-listener|nothing-back|target-down|taken:[A-Za-z0-9_.-]+)$/ }
  function words(code, leads_to) {
    if (code == "no-connection") return "no connection"
    if (code == "ssh-hangs") return "ssh does not answer on its control socket"
    if (code == "no-listener") return "nothing listens there"
    if (code ~ /^taken:/) return "a program of \047" substr(code, 7) "\047 has the port"
    if (code == "nothing-back") return "nothing comes back through it"
    if (code == "target-down") return "its target " leads_to " does not answer"
    return "unknown"
  }
  function name_of(code) { sub(/:.*/, "", code); return code }'
