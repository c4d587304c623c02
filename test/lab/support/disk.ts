import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exec } from "../../../lab/exec.ts";
import type { Result } from "../../../lab/exec.ts";
import { SUITES, rootImage } from "../../../lab/root.ts";

const SCRIPT = fileURLToPath(new URL("disk.sh", import.meta.url));

/** A host's files on a disk that loses unsynced writes in a power cut: see disk.sh. No systemd runs there. */
export class Disk {
  private constructor(
    private readonly folder: string,
    private readonly image: string,
  ) {}

  public static async make(): Promise<Disk> {
    const image = await rootImage(SUITES[0], console.error);
    const disk = new Disk(await mkdtemp(join(tmpdir(), "disk-")), image);
    await disk.script(["make"], []);
    return disk;
  }

  public async copy(): Promise<Disk> {
    const disk = new Disk(await mkdtemp(join(tmpdir(), "disk-")), this.image);
    await copyFile(join(this.folder, "disk"), join(disk.folder, "disk"));
    return disk;
  }

  public async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Runs a shell command there until it ends, and shuts down cleanly. */
  public async run(command: string, input?: string): Promise<Result> {
    return this.script(["run"], ["", "sh", "-c", command], input);
  }

  /** Runs a shell command, and cuts the power after this many seconds, whether it has ended or not. */
  public async cut(seconds: number, command: string, input?: string): Promise<void> {
    await this.script(["run"], [seconds.toFixed(3), "sh", "-c", command], input);
  }

  /** What the next boot does before anything else: the rollback, as systemd would start it. */
  public async boot(): Promise<Result> {
    return this.run(`cd /etc/systemd/system && for link in sysinit.target.wants/*-rollback-at-boot.service; do
      [ -e "$link" ] || continue
      folder=$(sed -n 's/^ConditionPathExists=//p' "$link")
      [ -z "$folder" ] || [ -e "$folder" ] || continue
      sh -c "$(sed -n 's/^ExecStart=//p' "$link")"
    done`);
  }

  private async script(verb: string[], args: string[], input?: string): Promise<Result> {
    return exec(
      "unshare",
      ["--mount", "--propagation", "private", "sh", SCRIPT, ...verb, this.folder, this.image, ...args],
      {
        input,
        allowFailure: verb[0] === "run",
        timeoutSeconds: 60,
      },
    );
  }
}
