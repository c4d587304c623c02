import { join } from "node:path";
import { shellQuote } from "../components/remote/shellQuote.ts";
import { processesIn } from "./cgroup.ts";
import type { RunOptions } from "./enter.ts";
import { exec, until } from "./exec.ts";
import type { Result } from "./exec.ts";
import { GUEST } from "./guestImage.ts";
import { Host } from "./host.ts";
import type { HostSetting } from "./host.ts";
import { works } from "./kvm.ts";
import { requireRoot, requireTools } from "./machine.ts";
import type { Hardware } from "./power.ts";
import type { Qemu } from "./prepare.ts";
import type { Snapshot } from "./snapshot.ts";

/** What the lab passes to a guest. */
export type GuestSetting = HostSetting & Qemu;

/**
 * A host with its own kernel, which enforces SELinux, in QEMU. The lab controls it over the network: nothing runs on a
 * guest whose link is cut.
 */
export class Guest extends Host {
  protected override readonly bootSeconds: number = 300;
  protected override readonly pauseMs: number = 300;

  public constructor(protected override readonly setting: GuestSetting) {
    super(setting);
  }

  public override async firstBoot(): Promise<void> {
    await this.bootWholly();
  }

  public override async shutDown(): Promise<void> {
    const before = await this.bootId();
    await this.run("systemctl reboot", { allowFailure: true });
    await until(`${this.name} to shut down`, 100, async () => (await this.bootId()) !== before, 200);
  }

  public override snapshot(): Promise<Snapshot> {
    throw new Error(`The disk of ${this.name}, a guest, cannot be looked at from outside: ask with run.`);
  }

  protected override async init(): Promise<number | undefined> {
    return (await processesIn(this.setting.cgroup))[0];
  }

  /** As root, over one connection for all, which ends with the host. */
  protected override async execute(_init: number, command: string, options: RunOptions): Promise<Result> {
    // Its socket has a relative name, since long names are refused.
    const mux = ["ControlMaster=auto", "ControlPersist=yes", "ControlPath=ssh", "ConnectTimeout=10"];
    const alive = ["ServerAliveInterval=5", "ServerAliveCountMax=6", "LogLevel=ERROR"];
    const settings = [...mux, ...alive].flatMap((setting) => ["-o", setting]);
    const ssh = ["ssh", "-F", this.setting.sshConfigFile, ...settings, this.name];
    const procs = join(this.setting.cgroup, "power", "cgroup.procs");
    const enter = 'echo $$ >"$1" && cd "$2" && shift 2 && exec "$@"';
    return exec("sh", ["-c", enter, "sh", procs, this.setting.folder, ...ssh, remote(command)], {
      input: options.input,
      allowFailure: true,
      timeoutSeconds: options.timeoutSeconds ?? 120,
    });
  }

  protected override hardware(): Hardware {
    const { name, network, folder, image, cgroup, accel, booted } = this.setting;
    return {
      command: ["nsenter", `--net=/run/netns/${network.name}`, "sh", GUEST],
      env: { HOST: name, LAB_FOLDER: folder, IMAGE: image, ACCEL: accel, CGROUP: cgroup, BOOTED: booted },
    };
  }

  /** Changes with each boot; "" while it does not answer. */
  private async bootId(): Promise<string> {
    return (await this.run("cat /proc/sys/kernel/random/boot_id", { allowFailure: true })).stdout;
  }
}

/** The same shell and environment as on any host of the lab. */
function remote(command: string): string {
  return `LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin exec /bin/sh -c ${shellQuote(command)}`;
}

/** Why this machine cannot have guests, in words; undefined if it can, once what they need is installed. */
export async function noGuests(): Promise<string | undefined> {
  requireRoot();
  if (process.arch !== "x64") return `QEMU's guests are for x86-64, and this machine is ${process.arch}`;
  try {
    await requireTools(() => undefined, true);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (!(await works("tcg", 20))) return "QEMU does not run here";
  const tap = `srt-tap${process.pid}`;
  const made = await exec("ip", ["tuntap", "add", "dev", tap, "mode", "tap"], { allowFailure: true });
  if (made.exitCode !== 0) return `a guest's network card cannot be made here: ${made.stderr}`;
  await exec("ip", ["link", "del", tap]);
  return undefined;
}
