import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { exec } from "../../lab/exec.ts";
import type { Contender } from "./contender.ts";
import type { Fleet, Tunnel } from "./fleet.ts";

/** The arguments for install.sh. */
export const ANSIBLE = "ansible@2.19.14";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** Ansible with playbook.yml, for this many hosts at a time; `program` is its ansible-playbook. */
export function ansible(fleet: Fleet, program: string, forks: number): Contender {
  const { lab, gate } = fleet;
  const inventory = join(lab.directory, `inventory-${forks}.ini`);
  let task = "";

  const play = async (book: string, limitSeconds: number, only?: Tunnel): Promise<number> => {
    // ssh needs short socket paths, and connections of an earlier operation are not reused.
    const sockets = await mkdtemp(join(tmpdir(), "fleet-"));
    const args = ["-i", inventory, "-f", `${forks}`, ...(only ? ["--limit", `gate,${only.name}`] : [])];
    const command = [program, ...args, join(FOLDER, book)];
    const lines: string[] = [];
    task = "";
    try {
      // `timeout` ends all processes that Ansible starts.
      const running = execa("timeout", ["--kill-after=10", `${limitSeconds}`, ...command], {
        env: {
          ANSIBLE_CONFIG: join(FOLDER, "ansible.cfg"),
          ANSIBLE_HOME: join(lab.directory, "ansible"),
          ANSIBLE_SSH_ARGS: `-F "${lab.sshConfigFile}" -o ControlMaster=auto -o ControlPersist=60s`,
          ANSIBLE_SSH_CONTROL_PATH_DIR: sockets,
          ANSIBLE_NOCOLOR: "true",
          LC_ALL: "C.UTF-8",
        },
        all: true,
        buffer: false,
        reject: false,
        stdin: "ignore",
      });
      for await (const line of createInterface({ input: running.all })) {
        lines.push(line);
        task = /^(?:TASK|RUNNING HANDLER) \[(.*)\]/.exec(line)?.[1] ?? task;
      }
      const { exitCode } = await running;
      if (exitCode === 124 || exitCode === 137) throw new Error(`did not end within ${limitSeconds} s`);
      if (exitCode !== 0) throw new Error(failures(lines));
    } finally {
      for (const socket of await readdir(sockets)) {
        const exit = ["-O", "exit", "-o", `ControlPath=${join(sockets, socket)}`, "any"];
        await exec("ssh", exit, { allowFailure: true });
      }
      await rm(sockets, { recursive: true });
    }
    return changesIn(lines);
  };

  return {
    id: `ansible${forks}`,
    title: `Ansible, ${forks} forks`,
    prepare: (tunnels) => writeFile(inventory, inventoryOf(gate.address, tunnels)),
    apply: (limit) => play("playbook.yml", limit),
    applyTo: (only, limit) => play("playbook.yml", limit, only),
    remove: (limit) => play("remove.yml", limit),
    doing: () => task,
  };
}

/** The inventory for the playbook. */
export function inventoryOf(gate: string, tunnels: Omit<Tunnel, "host">[]): string {
  const hosts = tunnels.map(
    ({ name, sshPort, webPort }) => `${name} ssh_port=${sshPort} web_port=${webPort}`,
  );
  return ["gate", "[internal]", ...hosts, "[all:vars]", `gate_address=${gate}`, ""].join("\n");
}

/** The number of changes in a play's recap. */
export function changesIn(lines: string[]): number {
  const changed = lines.map((line) => Number(/ ok=\d+ +changed=(\d+) /.exec(line)?.[1] ?? 0));
  return changed.reduce((sum, count) => sum + count, 0);
}

/** The hosts that failed, and the first failure. */
export function failures(lines: string[]): string {
  const failed = lines.filter((line) => / (unreachable|failed)=[1-9]/.test(line));
  const names = failed.map((line) => line.split(" ")[0]);
  const first = lines.find((line) => /^(fatal|failed): /.test(line)) ?? lines.slice(-5).join(" ");
  return `failed on ${names.join(", ") || "no host"}: ${first.slice(0, 1000)}`;
}
