import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { exec, until } from "../lab/exec.ts";
import type { Host } from "../lab/host.ts";
import type { Lab } from "../lab/lab.ts";
import { ask } from "./client.ts";

const ANSWER = fileURLToPath(new URL("answer.py", import.meta.url));

/** Where answer.py listens on the internal host. */
export const ANSWER_PORT = 7000;

/** A public host and an internal host, with every tool between them. */
export class Pair {
  /** The public host. */
  public readonly gate: Host;
  /** The internal host. */
  public readonly nas: Host;
  /** A second public host, if a tool uses one. No fault hits it. */
  public readonly spare: Host | undefined;

  public constructor(
    public readonly lab: Lab,
    /** Counted from 1. */
    public readonly number: number,
    hasSpare = false,
  ) {
    [this.gate, this.nas] = [lab.host(`gate${number}`), lab.host(`nas${number}`)];
    this.spare = hasSpare ? lab.host(`spare${number}`) : undefined;
  }

  /** The names of the hosts of that many pairs. */
  public static hostNames(count: number, hasSpare = false): string[] {
    const kinds = ["gate", "nas", ...(hasSpare ? ["spare"] : [])];
    return Array.from({ length: count }, (_, index) => kinds.map((kind) => `${kind}${index + 1}`)).flat();
  }

  /** The address that the internal host has after a change of address. */
  public get otherAddress(): string {
    return this.nas.address.replace(/(\d+)$/, (last) => `${Number(last) + 100}`);
  }

  /** What all tools need: the target program, and an account with a plain key. */
  public async prepare(): Promise<void> {
    const { gate, nas } = this;
    await this.put(nas, "/usr/local/lib/bench/answer.py", await readFile(ANSWER, "utf8"), "755");
    await this.unit(nas, "bench-answer", ["ExecStart=/usr/local/lib/bench/answer.py"], { early: true });
    await nas.run("systemctl enable --quiet --now bench-answer");
    const publicKey = await nas.run(
      `ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
      echo '${gate.address} ${gate.hostKey}' >~/.ssh/known_hosts
      cat ~/.ssh/id_ed25519.pub`,
    );
    await this.put(gate, "/etc/ssh/sshd_config.d/60-bench.conf", "GatewayPorts clientspecified\n");
    await gate.run(
      `useradd --create-home --shell /usr/sbin/nologin --password '*' tunnel
      install -d -m 700 -o tunnel -g tunnel ~tunnel/.ssh
      cat >~tunnel/.ssh/authorized_keys
      systemctl reload ssh`,
      { input: publicKey.stdout + "\n" },
    );
  }

  /** Writes a file. */
  public async put(host: Host, path: string, text: string, mode = "644"): Promise<void> {
    await host.run(`mkdir -p '${dirname(path)}' && cat >'${path}' && chmod ${mode} '${path}'`, {
      input: text,
    });
  }

  /** Copies a program from this machine. */
  public async copy(host: Host, program: string, path: string): Promise<void> {
    await host.run(`mkdir -p '${dirname(path)}'`);
    await exec("scp", ["-q", "-F", this.lab.sshConfigFile, program, `${host.name}:${path}`]);
  }

  /** Writes a unit for a service that starts at boot; `early`: without waiting for the network. */
  public async unit(host: Host, name: string, service: string[], { early = false } = {}): Promise<void> {
    const network = early ? [] : ["After=network-online.target", "Wants=network-online.target"];
    const install = ["[Install]", "WantedBy=multi-user.target"];
    const text = ["[Unit]", `Description=${name}`, ...network, "[Service]", ...service, ...install];
    await this.put(host, `/etc/systemd/system/${name}.service`, text.join("\n") + "\n");
    await host.run("systemctl daemon-reload");
  }

  /**
   * Gives the two hosts, and this machine, permanent entries for each other's hardware addresses. On a real network,
   * the next router is reachable even if the other end is not, so a cut shows as silence. Here, both are on one cable,
   * and the kernel would ask in vain for the other's hardware address and report "no route to host" to every
   * connection.
   */
  public async pinNeighbours(): Promise<void> {
    const [gate, nas] = await Promise.all([hardwareAddress(this.gate), hardwareAddress(this.nas)]);
    const pin = (address: string, mac: string) =>
      `ip neigh replace ${address} lladdr ${mac} dev eth0 nud permanent`;
    await this.nas.run(pin(this.gate.address, gate));
    await this.gate.run(pin(this.nas.address, nas));
    const link = (await exec("ip", ["-o", "route", "get", this.gate.address])).stdout;
    const device = / dev (\S+)/.exec(link)?.[1] ?? "";
    const own = ["neigh", "replace", this.gate.address, "lladdr", gate, "dev", device, "nud", "permanent"];
    await exec("ip", own);
  }

  /** Waits until the target of a port on the public host answers. */
  public async answers(port: number, seconds: number): Promise<void> {
    await until(`an answer at port ${port} of ${this.gate.name}`, seconds, () =>
      ask(this.gate.address, port, AbortSignal.timeout(2000)).then(
        () => true,
        () => false,
      ),
    );
  }
}

async function hardwareAddress(host: Host): Promise<string> {
  const { stdout } = await host.run("ip -o link show eth0");
  const address = / link\/ether (\S+) /.exec(stdout)?.[1];
  if (!address) throw new Error(`${host.name} has no hardware address: ${stdout}`);
  return address;
}
