# shellcheck shell=sh
# What the host's sshd says of its own configuration. Its files only tell where a line is.

# ask_sshd OPTION… — sshd with these options, and with those of the sshd that runs: they outlive a reload.
ask_sshd() {
  know_daemon
  (
    IFS=$NL
    set -f
    # shellcheck disable=SC2086  # one word a line
    sshd $DAEMON_OPTIONS "$@"
  )
}

# know_daemon — find_daemon, once. Whoever asks sshd in several subshells calls it before.
know_daemon() { [ -n "${DAEMON_OPTIONS+set}" ] || find_daemon; }

# find_daemon — sets DAEMON to the process of the sshd that a reload is for, which may not run behind a socket, and
# DAEMON_OPTIONS to what it was started with, an option or its value a line.
find_daemon() {
  local name
  DAEMON_OPTIONS=
  DAEMON=$(systemctl show --property MainPID --value ssh.service sshd.service 2>/dev/null | grep -v '^0*$' | head -n 1) || :
  read -r name 2>/dev/null <"/proc/${DAEMON:-none}/comm" && [ "$name" = sshd ] || return 0
  DAEMON_OPTIONS=$(lasting_options <"/proc/$DAEMON/cmdline")
  # What it shows may have been cut, and where a word had spaces, nobody knows.
  ask_sshd -t 2>/dev/null || DAEMON_OPTIONS=$(printf '%s\n' "$DAEMON_OPTIONS" | sed -n '/^-f$/{N;p;}')
}

# lasting_options <cmdline — those that decide what sshd does after a reload, an option or its value a line. Its command
# line is as it was started, or "sshd: /usr/sbin/sshd -D -p 2222 -o AllowUsers a b [listener] …".
lasting_options() {
  tr '\0' ' ' | awk '
    {
      sub(/ \[listener\].*/, "")
      for (i = 1; i <= NF; i++) {
        if ($i !~ /^-/) continue
        for (at = 2; at <= length($i) && !index("CEbcfghkopu", substr($i, at, 1)); at++)
          if (substr($i, at, 1) ~ /[46]/) print "-" substr($i, at, 1)
        option = substr($i, at, 1)
        if (option == "") continue
        value = substr($i, at + 1)
        if (value == "") value = $(++i)
        if (option == "o" && value !~ /=/) value = value " " $(++i)
        if (option == "o") while (i < NF && $(i + 1) !~ /^-/) value = value " " $(++i)
        if (option ~ /[fhop]/) print "-" option "\n" value
      }
    }'
}

# quoted_options — DAEMON_OPTIONS as words of a command.
quoted_options() { printf '%s\n' "$DAEMON_OPTIONS" | sed "s/'/'\\\\''/g; s/.\{1,\}/'&'/" | paste -sd ' ' -; }

# sshd_effective USER [ADDRESS LOCAL_ADDRESS LOCAL_PORT HOST] — sshd's configuration for one login. A Match may ask for each
# of them.
sshd_effective() {
  local settings
  settings=$(ask_sshd -T -C "user=$1,host=${5-${2-127.0.0.1}},addr=${2-127.0.0.1},laddr=${3-127.0.0.1},lport=${4-22}") || return 1
  printf '%s\n' "$settings" | with_lower_keywords
}
