/**
 * The ways in which an admin who is not root can start a root shell that reads a script: command lines for the admin's
 * own shell, to which the script's verb is added. The first one that works on a host is used there; `hostFacts.sh`
 * tries them.
 */
export const rootShells = [
  "sudo -n sh -s --",
  // If the admin's PATH does not include sudo, or secure_path in sudoers does not include sh.
  "/usr/bin/sudo -n /bin/sh -s --",
  // If sudo requires a terminal (requiretty): script(1) provides one, while the script and its results use the
  // connection's own three streams. script(1) must not read them itself, nor start the admin's login shell.
  `/bin/sh -c 'SHELL=/bin/sh /usr/bin/script -qec "/usr/bin/sudo -n /bin/sh -s -- $1 <&3 >&4 2>&5" /dev/null 3<&0 4>&1 5>&2 </dev/null >&2' sh`,
] as const;
