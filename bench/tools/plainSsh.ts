import { join } from "node:path";
import type { Pair } from "../pair.ts";
import type { Tool } from "./tool.ts";
import { remoteForward } from "./tool.ts";

const AUTOSSH = "autossh@1.4g-1+b1";

/** ssh alone, as in guides on the subject. */
export const guide: Tool = {
  id: "guide",
  title: "ssh + systemd",
  settings:
    "the unit of the usual guide: `ssh -N -R …` with `ServerAliveInterval=60`, `ServerAliveCountMax=3`, `ExitOnForwardFailure=yes`; `Restart=always`, `RestartSec=10`",
  port: 8002,
  version: "that of OpenSSH",
  client: { process: "ssh", unit: () => "bench-guide" },
  async install(pair) {
    const options = "-o ServerAliveInterval=60 -o ServerAliveCountMax=3 -o ExitOnForwardFailure=yes";
    const start = `ExecStart=/usr/bin/ssh -N ${options} ${remoteForward(pair, guide.port)}`;
    await pair.unit(pair.nas, "bench-guide", [start, "Restart=always", "RestartSec=10"]);
    await pair.nas.run("systemctl enable --quiet bench-guide");
  },
};

/** autossh as Debian installs it: it chooses a monitoring port, and nothing restarts it. */
export const autossh: Tool = {
  id: "autossh",
  title: "autossh",
  settings:
    "`autossh -N -R …` with what Debian's package sets: a monitoring port, tried every 10 minutes; started at boot, without a restart by systemd, for the package has no unit",
  port: 8003,
  client: { process: "ssh", unit: () => "bench-autossh" },
  source: AUTOSSH,
  async install(pair, programs) {
    await installAutossh(pair, programs);
    const start = `ExecStart=/usr/bin/autossh -N ${remoteForward(pair, autossh.port)}`;
    await pair.unit(pair.nas, "bench-autossh", [start]);
    await pair.nas.run("systemctl enable --quiet bench-autossh");
  },
};

/** autossh as its users recommend it: ssh's own keep-alives instead of the monitoring port. */
export const autosshTuned: Tool = {
  id: "autossh-tuned",
  title: "autossh -M 0",
  settings:
    "`autossh -M 0 -N -R …` with `ServerAliveInterval=30`, `ServerAliveCountMax=3`, `ExitOnForwardFailure=yes`, `AUTOSSH_GATETIME=0`; `Restart=always`, `RestartSec=10`",
  port: 8004,
  client: { process: "ssh", unit: () => "bench-autossh-tuned" },
  source: AUTOSSH,
  async install(pair, programs) {
    await installAutossh(pair, programs);
    const options = "-o ServerAliveInterval=30 -o ServerAliveCountMax=3 -o ExitOnForwardFailure=yes";
    const start = `ExecStart=/usr/bin/autossh -M 0 -N ${options} ${remoteForward(pair, autosshTuned.port)}`;
    const service = ["Environment=AUTOSSH_GATETIME=0", start, "Restart=always", "RestartSec=10"];
    await pair.unit(pair.nas, "bench-autossh-tuned", service);
    await pair.nas.run("systemctl enable --quiet bench-autossh-tuned");
  },
};

async function installAutossh(pair: Pair, programs: string): Promise<void> {
  await pair.copy(pair.nas, join(programs, "autossh"), "/usr/bin/autossh");
  await pair.copy(pair.nas, join(programs, "autossh.real"), "/usr/lib/autossh/autossh");
}
