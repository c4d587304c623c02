import { dirname, join } from "node:path";
import { exec } from "../../../lab/exec.ts";
import type { Host } from "../../../lab/host.ts";
import type { Lab } from "../../../lab/lab.ts";

/** Something that a sampler looks for. */
interface Hit {
  text: string;
  /** "/proc/17/environ", or a file. */
  path: string;
  /** The name of the process; for a file "file". */
  what: string;
}

/** What a sampler has found, and how often it has looked. */
export interface Found {
  hits: Hit[];
  rounds: number;
}

/** Looks as often as it can, until it is stopped or its lab is gone. */
export interface Sampler {
  stop(): Promise<Found>;
}

/** The file that tells a host's sampler to stop. */
export const STOP_ON_HOST = "/dev/shm/sampler-stop";

/**
 * Looks for texts in the command line and the environment of every process, and in every file below some folders. The
 * texts come on standard input, and are in no command line, environment or file of the sampler itself.
 */
const script = (stop: string, folders: string) => `
texts=$(cat)
rounds=0
look() {
  grep -aosHF -f - "$@" <<EOF
$texts
EOF
}
{
  while [ -d ${dirname(stop)} ] && [ ! -e ${stop} ]; do
    rounds=$((rounds + 1))
    look /proc/[0-9]*/cmdline /proc/[0-9]*/environ | while read -r hit; do
      path=\${hit%%:*}
      echo "\${hit#*:} $path $(cat "\${path%/*}/comm" 2>/dev/null)"
    done
    [ -z "${folders}" ] || look -r -D skip ${folders} | while read -r hit; do echo "\${hit#*:} \${hit%%:*} file"; done
  done
  echo "rounds $rounds"
} | sort -u
`;

/** In a host: its processes, and its volatile folders. */
export function sampleHost(host: Host, needles: string[]): Sampler {
  const running = host.run(script(STOP_ON_HOST, "/tmp /run /var/tmp"), {
    input: needles.join("\n"),
    allowFailure: true,
    timeoutSeconds: 1800,
  });
  return {
    stop: () => host.run(`touch ${STOP_ON_HOST}`).then(() => running.then(({ stdout }) => foundIn(stdout))),
  };
}

/**
 * On this machine: every process, including those of the hosts. There are so many that the actual work gets priority.
 */
export function sampleMachine(lab: Lab, name: string, needles: string[]): Sampler {
  const stop = join(lab.directory, `${name}-stop`);
  const running = exec("nice", ["sh", "-c", script(stop, "")], {
    input: needles.join("\n"),
    allowFailure: true,
    timeoutSeconds: 1800,
  });
  return { stop: () => exec("touch", [stop]).then(() => running.then(({ stdout }) => foundIn(stdout))) };
}

function foundIn(stdout: string): Found {
  const lines = stdout.split("\n").filter(Boolean);
  const words = lines.map((line) => line.split(" "));
  return {
    hits: words
      .filter(([first]) => first !== "rounds")
      .map(([text = "", path = "", what = ""]) => ({ text, path, what })),
    rounds: Number(words.find(([first]) => first === "rounds")?.[1] ?? 0),
  };
}
