import type { Host } from "../../../lab/host.ts";

/**
 * A moment right before or right after a step of a script; a step is the run of any program that may change the host.
 *
 * The script's text is the real one. A program that comes before all others in PATH counts its steps: at the cut it
 * kills the script with SIGKILL, and everything that the script has started. What the shell itself writes, by a
 * redirection, appears as a difference between the moment after one step and the moment before the next.
 */
export interface Cut {
  /** Counted from 1: before the first step, after it, before the second, … */
  number: number;
  /** "after mv -f -- …". */
  moment: string;
}

/** Programs that only read. All others are steps: a program that is missing here costs time but hides nothing. */
const readers =
  "awk base64 basename bash busybox cat cmp cut date df dirname env find flock getent grep groups gzip head hostname id ls md5sum mktemp namei od paste pgrep ps readlink selinuxenabled seq setsid sh sha256sum sleep sort ss ssh sshd stat su sync tail test timeout tr true uname wc xargs";

const folder = "/run/cuts";

const program = `#!/bin/sh
# Stands for a program of the host. $CUT is the number of the cut at which to kill, or "list".
name=\${0##*/}
for real in ${folder}/own/$name /usr/bin/$name /usr/sbin/$name; do [ ! -x "$real" ] || break; done
# What a script does as another account is one step, that of setpriv.
[ -n "\${CUT-}" ] && [ -w ${folder}/passed ] || exec "$real" "$@"
case "$name $*" in
  "sed -i"*) ;;
  # What an account only looks at.
  "setpriv "*" test -"* | "setpriv "*" stat -"* | "setpriv "*" true" | "setpriv "*" cmp -s - "*) exec "$real" "$@" ;;
  sed* | "systemctl is-"* | "systemctl show"* | "journalctl --sync" | "ssh-keygen -y"*) exec "$real" "$@" ;;
  # A check that runs already is waited for first, so how often it is started is a matter of time (check_now).
  "systemctl start ssh-tunnel"*-watchdog.service | "systemctl start ssh-tunnels-"*-health.service) exec "$real" "$@" ;;
  *" --state" | *" --get-"* | *" --query-"* | "semanage port -l"* | "ufw status" | "ufw show"*) exec "$real" "$@" ;;
esac
cut() {
  read -r passed <${folder}/passed
  passed=$((passed + 1))
  echo "$passed" >${folder}/passed
  if [ "$CUT" = list ]; then
    disk=$(find /etc /root /home /opt /var/lib -path /var/lib/dpkg -prune -o -printf '%p %i %s %m %U %G %C@\\n' | md5sum)
    printf '%s %s\\n' "\${disk%% *}" "$(printf %s "$*" | tr '\\n' ' ')" >>${folder}/list
  elif [ "$CUT" = "$passed" ]; then
    printf %s "$*" | tr '\\n' ' ' >${folder}/moment
    # What runs under timeout(1) is in a process group of its own; the script's is called after its session.
    read -r stat </proc/$$/stat
    set -- \${stat##*) }
    kill -s KILL -- "-$4"
    kill -KILL 0
  fi
}
cut before "$name" "$@"
"$real" "$@"
status=$?
cut after "$name" "$@"
exit "$status"
`;

/** Prepares a host for cuts of its scripts, until its next boot. */
export async function prepareCuts(host: Host): Promise<void> {
  await host.run(
    `set -e
    mkdir ${folder} ${folder}/bin
    cp -a /usr/local/sbin ${folder}/own
    cat >${folder}/program
    chmod 755 ${folder}/program
    for file in ${folder}/own/* /usr/bin/* /usr/sbin/*; do
      name=\${file##*/}
      case ' ${readers} ' in *" $name "*) continue ;; esac
      [ "$name" = '[' ] || ln -sf ${folder}/program ${folder}/bin/"$name"
    done
    mount --bind ${folder}/bin /usr/local/sbin`,
    { input: program },
  );
}

/**
 * Runs a script until it ends, and lists its cuts, without those at which the host is the same as at the cut before.
 */
export async function listCuts(host: Host, stdin: string, verb: string): Promise<Cut[]> {
  const { stdout } = await host.run(
    `rm -f ${folder}/list; echo 0 >${folder}/passed
    CUT=list sh -s -- ${verb} >/dev/null && touch ${folder}/list && cat ${folder}/list`,
    { input: stdin },
  );
  const lines = stdout.split("\n").filter((line) => line !== "");
  const cuts = lines.map((line, index) => {
    const [disk = "", ...words] = line.split(" ");
    return { disk, number: index + 1, moment: withoutPid(words.join(" ").trim()) };
  });
  return cuts.filter(
    ({ moment, disk }, index) =>
      disk !== cuts[index - 1]?.disk || (moment.startsWith("after") && !onlyFiles.test(moment)),
  );
}

/** Tools are unpacked into a folder that has the process id in its name. */
const withoutPid = (moment: string) => moment.replaceAll(/(\/\.[0-9a-f]{64})\.\d+/g, "$1.PID");

/** Steps that leave a trace only on the disk. */
const onlyFiles = /^after (chmod|chown|cp|mkdir|mv|rm|rmdir|setpriv) /;

/** Runs a script, kills it at this cut, then runs these commands and returns their output. */
export async function cutAt(host: Host, stdin: string, verb: string, cut: Cut, then = ""): Promise<string> {
  const { stdout } = await host.run(
    `echo 0 >${folder}/passed; : >${folder}/moment
    CUT=${cut.number} setsid -w sh -s -- ${verb} >/dev/null 2>${folder}/said
    [ $? = 137 ] || cat ${folder}/said
    cat ${folder}/moment
    echo
    ${then}`,
    { input: stdin },
  );
  const [moment, ...rest] = stdout.split("\n");
  if (withoutPid(moment?.trim() ?? "") !== cut.moment) {
    throw new Error(`${verb} was to be killed ${cut.moment}, and was not: ${stdout}`);
  }
  return rest.join("\n");
}
