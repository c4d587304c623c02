import { execa } from "execa";
import { access, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cgroupPath, killCgroup } from "../../lab/cgroup.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { RUNTIME_FOLDER } from "../../lab/lock.ts";
import { sshAsUser } from "../lab/support/ssh.ts";
import { until } from "../lab/support/until.ts";

const NAME = "labtest";
const CLI = fileURLToPath(new URL("../../lab/cli.ts", import.meta.url));

let lab: Lab;
let nas: Host;

async function up(): Promise<void> {
  lab = await Lab.up({ name: NAME, hosts: ["gate", "nas"] });
  nas = lab.host("nas");
}

const ssh = (...args: string[]) => sshAsUser(lab, ...args);

beforeAll(up, 1_200_000); // the first time, this builds the image
afterAll(() => Lab.clear(NAME));

describe("a lab", () => {
  /** Everything of the lab on this machine. */
  async function traces(): Promise<string[]> {
    const found: string[] = [];
    for (const list of [["netns"], ["-o", "link"], ["-o", "addr"]]) {
      const { stdout } = await execa("ip", list);
      found.push(...stdout.split("\n").filter((line) => line.includes(`srt-${NAME}`)));
    }
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      for (const file of ["mountinfo", "cmdline", "environ", "cgroup"]) {
        const text = await readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
        if (text.includes(lab.directory) || text.includes(`-lab/${NAME}`)) found.push(`${pid} ${file}`);
      }
    }
    for (const path of [
      lab.directory,
      await cgroupPath(NAME),
      `/run/systemd/nspawn/propagate/srt-${NAME}-gate`,
    ]) {
      if (await there(path)) found.push(path);
    }
    return found;
  }
  const there = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    );

  test("can be attached to by a later process", async () => {
    const again = await Lab.open(NAME);
    expect(again.host("nas").address).toBe(nas.address);
    expect((await again.host("nas").run("hostname")).stdout).toBe("nas");
  });

  test("is refused to another copy of the project while it runs, and can be taken over once all its processes have ended", async () => {
    const mine = await readFile(`${RUNTIME_FOLDER}/${NAME}.folder`, "utf8");
    const elsewhere = await mkdtemp(join(tmpdir(), "copy-"));
    const theirs = join(elsewhere, ".lab", NAME);
    await mkdir(theirs, { recursive: true });
    await writeFile(`${RUNTIME_FOLDER}/${NAME}.folder`, theirs);
    await expect(up()).rejects.toThrow(`A lab "${NAME}" runs from ${elsewhere}: take it down there`);
    expect(await there(theirs)).toBe(true);
    await killCgroup(await cgroupPath(NAME));
    await up();
    expect(await readFile(`${RUNTIME_FOLDER}/${NAME}.folder`, "utf8")).toBe(mine);
    expect(await there(theirs)).toBe(false);
    await rm(elsewhere, { recursive: true });
  });

  test("comes up again after all its processes were killed", async () => {
    await killCgroup(await cgroupPath(NAME));
    await up();
    expect((await ssh("gate", "hostname")).stdout).toBe("gate");
  });

  test("comes up again after the process that brought it up was killed halfway", async () => {
    await lab.down();
    const child = execa("npx", ["tsx", CLI, "up", "--name", NAME], { reject: false, detached: true });
    await until("the boot to begin", 60, async () => there(`${lab.directory}/hosts/gate/console.log`));
    process.kill(-(child.pid ?? NaN), "SIGKILL");
    await child;
    await up();
    expect((await ssh("gate", "hostname")).stdout).toBe("gate");
  });

  test("is brought up by one process at a time", async () => {
    const [first, second] = await Promise.allSettled([up(), up()]);
    const reasons = [first, second].flatMap((result) =>
      result.status === "rejected" ? [String(result.reason)] : [],
    );
    expect(reasons).toEqual([
      `Error: Process ${process.pid} is bringing the lab "labtest" up or down: wait for it to end.`,
    ]);
  });

  test("leaves nothing when it is taken down", async () => {
    expect(await traces()).not.toEqual([]);
    await lab.down();
    // The last processes have ended; their new parent may still have to collect them.
    await expect.poll(traces, { timeout: 120_000 }).toEqual([]);
    await expect(Lab.open(NAME)).rejects.toThrow("npm run lab -- up --name labtest");
  });
});
