import { access, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createCgroup, isPopulated, killCgroup, removeCgroup } from "./cgroup.ts";
import { initOf, runInside } from "./enter.ts";
import type { RunOptions } from "./enter.ts";
import { exec, until } from "./exec.ts";
import type { Result } from "./exec.ts";
import type { Network } from "./network.ts";
import { powerOn } from "./power.ts";
import type { Hardware } from "./power.ts";
import { compare, readUpper } from "./snapshot.ts";
import type { Snapshot } from "./snapshot.ts";

const MACHINE = fileURLToPath(new URL("machine.sh", import.meta.url));

/** What the lab passes to a host. */
export interface HostSetting {
  name: string;
  /** The last number of its addresses. */
  number: number;
  hostKey: string;
  network: Network;
  /** Its folder: `upper` (its files), `console.log`. */
  folder: string;
  image: string;
  cgroup: string;
  sshConfigFile: string;
}

/** One host of a lab: systemd as PID 1, sshd, journald, its own file system and network. */
export class Host {
  public readonly name: string;
  /** Its IPv4 address, the same for as long as the lab lasts. */
  public readonly address: string;
  /** Its IPv6 address. */
  public readonly address6: string;
  /** Its ed25519 host key: "ssh-ed25519 AAAA…". */
  public readonly hostKey: string;
  /** The limit for a boot. */
  protected readonly bootSeconds: number = 60;
  /** The pause between two checks whether it has booted. */
  protected readonly pauseMs: number = 30;

  /** Created by `Lab`. */
  public constructor(protected readonly setting: HostSetting) {
    this.name = setting.name;
    this.hostKey = setting.hostKey;
    this.address = setting.network.address(setting.number);
    this.address6 = setting.network.address6(setting.number);
  }

  /**
   * Runs a shell command on the host, as root, in root's home folder, through the host's namespaces: it needs no
   * network. The outputs have no final newline.
   */
  public async run(command: string, options: RunOptions = {}): Promise<Result> {
    const init = await this.init();
    if (!init) throw new Error(`${this.name} is off: switch it on with "boot ${this.name}".`);
    const result = await this.execute(init, command, options);
    if (result.exitCode !== 0 && !options.allowFailure) {
      const words = result.stderr || result.stdout;
      throw new Error(`"${command}" on ${this.name} failed (exit code ${result.exitCode}): ${words}`);
    }
    return result;
  }

  /** Silently drops every packet from and to the host until `restoreLink`, even through a reboot. */
  public async cutLink(): Promise<void> {
    await writeFile(this.file("cut"), "");
    if (await this.isOn()) await this.setting.network.setLink(this.name, false);
  }

  /** Ends `cutLink`. */
  public async restoreLink(): Promise<void> {
    await rm(this.file("cut"), { force: true });
    if (await this.isOn()) await this.setting.network.setLink(this.name, true);
  }

  /**
   * Cuts the power: no more packets leave the host, then all processes die at once. Nothing is ever sent for its
   * sockets, since their network is removed with them. What the host had written stays written, synced or not.
   */
  public async powerCut(): Promise<void> {
    const { network, cgroup } = this.setting;
    if (!(await this.isOn())) throw new Error(`${this.name} is off already.`);
    await network.setLink(this.name, false);
    await killCgroup(cgroup);
    await network.removeLink(this.name);
    await removeCgroup(cgroup);
  }

  /** Switches the host on and waits until it answers: over the network or, if the link is cut, inside. */
  public async boot(): Promise<void> {
    await this.ready(await this.switchOn());
  }

  /**
   * Switches the host on without waiting, to measure the boot: login attempts would slow it down. Returns whether the
   * host has ended.
   */
  public async switchOn(): Promise<() => boolean> {
    if (await this.isOn()) throw new Error(`${this.name} is on already: use "reboot ${this.name}".`);
    const { cgroup } = this.setting;
    await this.setting.network.removeLink(this.name);
    await removeCgroup(cgroup);
    await createCgroup(cgroup);
    return powerOn(this.hardware(), this.file("console.log"));
  }

  /** Boots a new host, and takes a snapshot of its file system once everything has started. */
  public async firstBoot(): Promise<void> {
    await this.bootWholly();
    await writeFile(this.file("first-boot.json"), JSON.stringify(await this.snapshot()));
  }

  /** The snapshot from the end of the first boot. */
  public async firstSnapshot(): Promise<Snapshot> {
    return JSON.parse(await readFile(this.file("first-boot.json"), "utf8")) as Snapshot;
  }

  /** Restarts the host cleanly, as `systemctl reboot` does, and waits until it answers again. */
  public async reboot(): Promise<void> {
    await this.shutDown();
    await this.ready(() => false);
  }

  /** The first half of `reboot`: returns once the host is down, before it starts again by itself. */
  public async shutDown(): Promise<void> {
    const before = await this.init();
    await this.run("systemctl reboot", { allowFailure: true });
    await until(`${this.name} to shut down`, 100, async () => (await this.init()) !== before);
  }

  /** Whether the host is switched on. */
  public async isOn(): Promise<boolean> {
    return isPopulated(this.setting.cgroup);
  }

  /** Whether the link is cut. */
  public async isCut(): Promise<boolean> {
    return access(this.file("cut")).then(
      () => true,
      () => false,
    );
  }

  /** Takes a snapshot of the host's file system. Also works when the host is off. */
  public async snapshot(): Promise<Snapshot> {
    return readUpper(this.name, this.file("upper"));
  }

  /**
   * Every path added, removed or changed since, sorted: "added /etc/x", "changed /etc/y (content, mode)". Up to now, or
   * up to a later snapshot.
   */
  public async changesSince(since: Snapshot, until?: Snapshot): Promise<string[]> {
    if (since.host !== this.name)
      throw new Error(`That is a snapshot of ${since.host}, not of ${this.name}.`);
    return compare(since, until ?? (await this.snapshot()), this.setting.image);
  }

  /** Boots, and waits until everything has started. */
  protected async bootWholly(): Promise<void> {
    await this.boot();
    await this.run("systemctl is-system-running --wait", {
      allowFailure: true,
      timeoutSeconds: this.bootSeconds,
    });
  }

  private async ready(ended: () => boolean): Promise<void> {
    const answers = async () => {
      if (ended()) throw new Error(`${this.name} did not start.`);
      return (await this.isCut()) ? this.answersInside() : this.answersOverNetwork();
    };
    try {
      await until(`${this.name} to answer`, this.bootSeconds, answers, this.pauseMs);
    } catch (error) {
      const log = await readFile(this.file("console.log"), "utf8").catch(() => "");
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${reason} Its console said:\n${log.trimEnd().split("\n").slice(-15).join("\n")}`, {
        cause: error,
      });
    }
  }

  private async answersOverNetwork(): Promise<boolean> {
    // A packet sent before the host has its network card would be repeated only after a second.
    if (!(await this.init())) return false;
    // As admin, not root: early in a boot, root can log in while the others still have to wait.
    const args = [
      "-F",
      this.setting.sshConfigFile,
      "-l",
      "admin",
      "-o",
      "ConnectTimeout=2",
      this.name,
      "true",
    ];
    const login = exec("ssh", args, { allowFailure: true, timeoutSeconds: 20 });
    // It may accept a connection long before it answers.
    return login.then(
      ({ exitCode }) => exitCode === 0,
      () => false,
    );
  }

  private async answersInside(): Promise<boolean> {
    if (!(await this.init())) return false;
    const active = await this.run("systemctl is-active --quiet ssh multi-user.target", {
      allowFailure: true,
    });
    return active.exitCode === 0;
  }

  /** The process on this machine through which the host is entered, while it is on. */
  protected async init(): Promise<number | undefined> {
    return initOf(this.setting.cgroup);
  }

  protected async execute(init: number, command: string, options: RunOptions): Promise<Result> {
    return runInside(init, command, options);
  }

  /** How its hardware is started. */
  protected hardware(): Hardware {
    const { name, number, network, folder, image, cgroup } = this.setting;
    return {
      command: ["unshare", "--mount", "--propagation", "private", "sh", MACHINE],
      env: {
        ...{ HOST: name, MACHINE: `${network.name}-${name}`, LAB_FOLDER: folder },
        ...{ IMAGE: image, CGROUP: cgroup, SWITCH: network.name, MAC: network.mac(number) },
        ...{ ADDRESS: this.address, ADDRESS6: this.address6 },
        // The host sees control groups as on any current system, whatever this machine has; its disk is private.
        ...{ SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1", SYSTEMD_NSPAWN_LOCK: "0" },
      },
    };
  }

  protected file(name: string): string {
    return join(this.setting.folder, name);
  }
}
