import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type * as healthChecks from "../../components/parts/healthCheck/healthCheck.ts";
import { healthCheck } from "../../components/parts/healthCheck/healthCheck.ts";
import type * as hostTools from "../../components/parts/hostTools/hostTools.ts";
import { HostTools } from "../../components/parts/hostTools/hostTools.ts";
import type { Host as RemoteHost } from "../../components/index.ts";
import type * as remoteScripts from "../../components/remote/remoteScript.ts";
import { remoteScript } from "../../components/remote/remoteScript.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labHost, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { leftovers } from "./support/leftovers.ts";
import { tunnelSettings } from "./support/settings.ts";

const DIRECTORY = "/opt/ssh-reverse-tunnel";

type Components = Pick<typeof hostTools, "HostTools"> &
  Pick<typeof healthChecks, "healthCheck"> &
  Pick<typeof remoteScripts, "remoteScript">;

const ours: Components = { HostTools, healthCheck, remoteScript };

describe("the tools of our scripts on a host", () => {
  let lab: Lab;
  let gate: Host;
  let before: Snapshot;
  let stack: LabStack;
  let components: Components = ours;
  let changes: Partial<RemoteHost> = {};
  let intervalSec = 1000;

  beforeAll(async () => {
    lab = await Lab.up({ name: "tools", hosts: ["gate"] });
    gate = lab.host("gate");
    before = await gate.snapshot();
    stack = await open("one");
  });
  afterAll(() => Lab.clear("tools"));

  /** A check whose timer restarts if anything of it has changed, on a host with the tools that it needs. */
  const open = (name: string, version?: () => Components) =>
    openStack({
      project: "tools",
      stack: name,
      program: () => {
        const { HostTools, healthCheck, remoteScript } = version?.() ?? components;
        const host = { ...labHost(lab, gate), ...changes };
        const tools = new HostTools("tools", { host });
        const parts = [healthCheck({ host, tunnel: name, forwards: [], intervalSec })];
        remoteScript("check", { host, what: `the check of ${name}`, parts }, { after: [tools] });
        return Promise.resolve();
      },
      directory: `${lab.directory}/stacks/${name}`,
    });

  const listOf = async (name: string) =>
    (await gate.run(`cat /etc/ssh-reverse-tunnel/ssh-tunnels-tools-${name}-health/${name}; echo .`)).stdout;

  const installed = async () =>
    (await gate.run(`ls ${DIRECTORY} | grep -x '[0-9a-f]*'`, { allowFailure: true })).stdout
      .split("\n")
      .filter(Boolean);

  /** Our components with a changed library, as in a later version. */
  const later = async (): Promise<Components> => {
    const folder = join(lab.directory, "later");
    await cp(new URL("../../components", import.meta.url), folder, { recursive: true });
    const library = join(folder, "shell/lib/lib.sh");
    await writeFile(library, `${await readFile(library, "utf8")}\nA_LATER_VERSION=yes\n`);
    const load = (name: string): Promise<unknown> => import(pathToFileURL(join(folder, `${name}.ts`)).href);
    return {
      ...((await load("parts/hostTools/hostTools")) as typeof hostTools),
      ...((await load("parts/healthCheck/healthCheck")) as typeof healthChecks),
      ...((await load("remote/remoteScript")) as typeof remoteScripts),
    };
  };

  it("are installed once, so that every other command sends only values", async () => {
    await stack.up();
    expect(await installed()).toHaveLength(1);
    const { deployment } = (await stack.export()) as unknown as {
      deployment: { resources: { urn: string; inputs?: { stdin?: string } }[] };
    };
    const texts = deployment.resources.flatMap(({ urn, inputs }) =>
      inputs?.stdin && !urn.endsWith("::tools-script") ? [inputs.stdin] : [],
    );
    expect(texts).toHaveLength(1);
    expect(texts[0]!.length).toBeLessThan(4000);
    const { stdout } = await stack.up();
    expect(stdout).not.toMatch(/\bchanged: /);
  });

  it("are replaced by an up with a changed library, which runs nothing else again and restarts nothing", async () => {
    const began = () =>
      gate.run("systemctl show -P ActiveEnterTimestampMonotonic ssh-tunnels-tools-one-health.timer");
    const [was, tools] = [(await began()).stdout, await installed()];
    components = await later();
    const { stdout } = await stack.up();
    expect(stdout).toContain(`changed: gate (${gate.address}): installed the tools in ${DIRECTORY}/`);
    expect(stdout).not.toContain("one-health");
    expect((await began()).stdout).toBe(was);
    expect(await installed()).toHaveLength(1);
    expect(await installed()).not.toEqual(tools);
  });

  it("are separate for stacks of different versions, and stay as long as one stack needs them", async () => {
    const other = await open("two", () => ours);
    await other.up();
    const both = await installed();
    expect(both).toHaveLength(2);
    await stack.up();
    expect(await installed()).toEqual(both);
    await other.destroy();
    expect(await installed()).toHaveLength(1);
    intervalSec++;
    await stack.up();
    expect(await listOf("one")).toContain(`interval ${intervalSec}\n`);
  });

  it("are reported with what to do if they are missing, and come back with a changed revision", async () => {
    await gate.run(`rm -r ${DIRECTORY}/*[0-9a-f]`);
    intervalSec++;
    await expect(stack.up()).rejects.toThrow(
      `gate (${gate.address}): the tools of this project are not on this host, or not as they were installed; choose another revision`,
    );
    changes = { ...changes, revision: "2" };
    await stack.up();
    expect(await listOf("one")).toContain(`interval ${intervalSec}\n`);
  });

  it("are restored with a changed revision after somebody has edited one of them", async () => {
    const [hash] = await installed();
    await gate.run(`echo 'touch /changed' >>${DIRECTORY}/${hash}/lib/record.sh`);
    changes = { ...changes, revision: "3" };
    const { stdout } = await stack.up();
    expect(stdout).toContain(`changed: gate (${gate.address}): installed the tools in ${DIRECTORY}/${hash}`);
    await gate.run("[ ! -e /changed ]");
  });

  it("leave other folders alone, and leave it to the next run to clean up after one killed while it unpacked them", async () => {
    const left = `${DIRECTORY}/.${"0123456789abcdef".repeat(4)}.4194304`;
    const others = ["2024", "cafe", "2.4", ".ab"].map((name) => `${DIRECTORY}/${name}`).join(" ");
    await gate.run(`mkdir ${left} ${others}`);
    changes = { ...changes, revision: "4" };
    await stack.up();
    await gate.run(`[ ! -e ${left} ] && rmdir ${others}`);
  });

  it("move to another folder with their setting", async () => {
    changes = { ...changes, toolsDirectory: "/srv/tools" };
    await stack.up();
    expect(await installed()).toEqual([]);
    expect((await gate.run("ls /srv/tools")).stdout).toMatch(/^[0-9a-f]{64}\ntools-one$/);
  });

  it("are refused a folder that another user can change, and a folder that cannot be written", async () => {
    const refused = async (toolsDirectory: string, sentence: string) => {
      const good = changes;
      changes = { ...changes, toolsDirectory };
      await expect(stack.up()).rejects.toThrow(sentence);
      changes = good;
    };
    await gate.run(
      "mkdir -m 777 /srv/open && mkdir /srv/hers /srv/read-only /srv/no-exec && chown nobody /srv/hers",
    );
    await gate.run("mkdir -m 2775 /srv/theirs && chgrp staff /srv/theirs");
    await gate.run("mount -t tmpfs -o ro,mode=755 tmpfs /srv/read-only");
    await gate.run("mount -t tmpfs -o noexec,mode=755 tmpfs /srv/no-exec");
    await refused(
      "/srv/open/tools",
      'by the folder "open" (root:root, drwxrwxrwx); choose another toolsDirectory',
    );
    await refused(
      "/srv/hers",
      'by the folder "hers" (nobody:root, drwxr-xr-x); choose another toolsDirectory',
    );
    await refused(
      "/srv/theirs",
      'by the folder "theirs" (root:staff, drwxrwsr-x); choose another toolsDirectory',
    );
    await refused("/srv/no-exec", "/srv/no-exec is on a file system that programs cannot run from (noexec)");
    await refused(
      "/srv/read-only/tools",
      "cannot write in /srv/read-only/tools; make room there, or choose another toolsDirectory",
    );
    await gate.run(
      "umount /srv/read-only /srv/no-exec && rmdir /srv/hers /srv/theirs /srv/no-exec /srv/read-only /srv/open",
    );
    await stack.up();
  });

  it("are gone after destroy, with everything else", async () => {
    await stack.destroy();
    expect(await leftovers(gate, before)).toEqual([]);
  });
});

describe("on hosts whose /usr is read-only, a tunnel", () => {
  let lab: Lab;
  let hosts: [gate: Host, nas: Host];
  let before: Snapshot[];
  let stack: LabStack;

  beforeAll(async () => {
    lab = await Lab.up({ name: "read-only", hosts: ["gate", "nas"] });
    hosts = [lab.host("gate"), lab.host("nas")];
    for (const host of hosts) {
      await host.run(
        "mount --bind /usr /usr && mount -o remount,bind,ro /usr && ! touch /usr/x /usr/local/bin/x",
      );
    }
    before = await Promise.all(hosts.map((host) => host.snapshot()));
    stack = await openProgram(lab, { config: tunnelSettings(lab, ...hosts) });
  });
  afterAll(() => Lab.clear("read-only"));

  it("comes up, carries a login, and shows its status", async () => {
    await stack.up();
    const [gate, nas] = hosts;
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
    for (const host of [gate, nas]) {
      const status = async () =>
        (await host.run("/opt/bin/ssh-tunnel-status", { allowFailure: true })).stdout;
      await expect.poll(status, { timeout: 120_000, interval: 500 }).toMatch(/^nas +ssh .* up /m);
    }
    expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
  });

  it("leaves nothing after destroy", async () => {
    await stack.destroy();
    for (const [index, host] of hosts.entries()) expect(await leftovers(host, before[index]!)).toEqual([]);
  });
});
