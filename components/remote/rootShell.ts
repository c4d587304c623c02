/**
 * How an admin who is not root begins a shell as root that reads a script: command lines of the admin's own shell, to
 * which the script's verb is added. The first of them that works on a host is used there: `hostFacts.sh` tries them.
 */
export const rootShells = [
  "sudo -n sh -s --",
  // Where the admin's PATH does not lead to sudo, or secure_path in sudoers not to sh.
  "/usr/bin/sudo -n /bin/sh -s --",
  // Where sudo wants a terminal (requiretty): script(1) gives it one, while the script and its results stay on the
  // connection's own three streams. script must not read them itself, nor start the admin's login shell.
  `/bin/sh -c 'SHELL=/bin/sh /usr/bin/script -qec "/usr/bin/sudo -n /bin/sh -s -- $1 <&3 >&4 2>&5" /dev/null 3<&0 4>&1 5>&2 </dev/null >&2' sh`,
] as const;
