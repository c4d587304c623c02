import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import { openStack } from "../../lab/stack.ts";
import { installSsh } from "../support/sshConfigFile.ts";

const example = (path: string) => fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));

/** Each example as it is written, except for addresses and keys, which are those of the lab. */
describe("the examples", () => {
  let lab: Lab;
  let folder: string;

  beforeAll(async () => {
    lab = await Lab.up({ name: "examples", hosts: ["hub", "files", "till", "camera-box"] });
    folder = await mkdtemp(join(tmpdir(), "examples-"));
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await lab?.down();
  });

  /** The example's settings with the lab's hosts instead of the documentation's addresses. */
  async function settingsFor(path: string, addresses: Record<string, string>): Promise<string> {
    let text = await readFile(example(path), "utf8");
    for (const [documented, host] of Object.entries(addresses)) {
      text = text.replaceAll(documented, lab.host(host).address);
    }
    text = text.replaceAll(
      /^( *)privateKeyFile: .*$/gm,
      `$1privateKeyFile: ${lab.adminKeyFile}\n$1knownHostsFile: ${lab.knownHostsFile}`,
    );
    const file = join(folder, `Pulumi.${path.replaceAll("/", "-")}`);
    await writeFile(file, text);
    return file;
  }

  const { PATH } = process.env;
  afterEach(() => {
    process.env.PATH = PATH;
  });
  /** The ssh_config in the example's description, with the lab's hosts and key. */
  async function useSshConfig(path: string, addresses: Record<string, string>): Promise<void> {
    let [, text = ""] = /```ssh-config\n([^]*?)```/.exec(await readFile(example(path), "utf8")) ?? [];
    for (const [documented, host] of Object.entries(addresses)) {
      text = text.replaceAll(documented, lab.host(host).address);
    }
    text = text.replace(
      /IdentityFile .*/,
      `IdentityFile ${lab.adminKeyFile}\n  UserKnownHostsFile ${lab.knownHostsFile}`,
    );
    process.env.PATH = `${installSsh(folder, text)}:${PATH}`;
  }

  const typed = async (host: Host, as: string, command: string) =>
    (await host.run(`su - ${as} -c "${command}"`)).stdout;

  it("open a NAS behind a home router to alice, who types 'ssh nas' on the rented server", async () => {
    const stackFile = await settingsFor("nas/Pulumi.nas.yaml", {
      "203.0.113.10": "hub",
      "192.0.2.20": "files",
    });
    const stack = await openProgram(lab, { stack: "nas", stackFile });
    await stack.up();
    expect(await typed(lab.host("hub"), "alice", "ssh nas 'hostname; id -un'")).toBe("files\nalice");
    await stack.destroy();
  });

  it("open a remote site through its own tunnel, after a set-up from inside", async () => {
    const stackFile = await settingsFor("remote-site/Pulumi.remote-site.yaml", {
      "203.0.113.10": "hub",
      "192.0.2.20": "files",
    });
    const settings = await readFile(stackFile, "utf8");
    // The first up, at the site.
    await writeFile(stackFile, settings.replace(/^ *throughTunnel: .*\n/m, ""));
    await (await openProgram(lab, { stack: "remote-site", stackFile })).up();
    await writeFile(stackFile, settings);
    const stack = await openProgram(lab, { stack: "remote-site", stackFile });
    expect((await stack.up()).stdout).toContain("site (through its tunnel to gate)");
    expect(await typed(lab.host("hub"), "alice", "ssh site 'hostname; id -un'")).toBe("files\nalice");
    await stack.destroy();
    // What the connection used is removed when it has ended.
    const records = async () =>
      (await lab.host("files").run("ls -d /var/lib/ssh-reverse-tunnel", { allowFailure: true })).stdout;
    await expect.poll(records, { timeout: 120_000 }).toBe("");
  });

  it("open a server with two public hosts from either, through whichever Pulumi reaches it afterwards", async () => {
    const stackFile = await settingsFor("two-gates/Pulumi.two-gates.yaml", {
      "203.0.113.10": "hub",
      "198.51.100.7": "till",
      "192.0.2.20": "files",
    });
    const settings = await readFile(stackFile, "utf8");
    await writeFile(stackFile, settings.replace(/^ *throughTunnel: .*\n/m, ""));
    await (await openProgram(lab, { stack: "two-gates", stackFile })).up();
    await writeFile(stackFile, settings);
    const stack = await openProgram(lab, { stack: "two-gates", stackFile });
    expect((await stack.up()).stdout).toContain("nas (through its tunnel to gate-a or gate-b)");
    for (const gate of ["hub", "till"]) {
      expect(await typed(lab.host(gate), "alice", "ssh nas 'hostname; id -un'")).toBe("files\nalice");
    }
    await stack.destroy();
    const records = async () =>
      (await lab.host("files").run("ls -d /var/lib/ssh-reverse-tunnel", { allowFailure: true })).stdout;
    await expect.poll(records, { timeout: 30_000 }).toBe("");
  });

  it("open a machine that reaches the public host only by a proxy, on port 443", async () => {
    const [hub, files] = [lab.host("hub"), lab.host("files")];
    await hub.run(`cat >/root/proxy && systemd-run --quiet --unit proxy python3 /root/proxy`, {
      input: proxy,
    });
    const drop = `ip daddr ${hub.address} tcp dport != 3128 drop`;
    await files.run("nft -f -", {
      input: `table inet closed { chain out { type filter hook output priority 0; ${drop}; }; }\n`,
    });
    const stackFile = await settingsFor("behind-a-proxy/Pulumi.behind-a-proxy.yaml", {
      "203.0.113.10": "hub",
      "192.0.2.20": "files",
      "192.0.2.3": "hub",
    });
    const stack = await openProgram(lab, { stack: "behind-a-proxy", stackFile });
    await stack.up();
    expect(await typed(hub, "alice", "ssh plant 'hostname; id -un'")).toBe("files\nalice");
    await stack.destroy();
    await hub.run("systemctl stop proxy");
    await files.run("nft delete table inet closed");
  });

  it("open three machines of an office, with admins who are not root, and leave two alone when one is removed", async () => {
    const addresses = {
      "198.51.100.7": "hub",
      "192.0.2.11": "files",
      "192.0.2.12": "till",
      "192.0.2.13": "camera-box",
    };
    const stackFile = await settingsFor("office/Pulumi.office.yaml", addresses);
    await useSshConfig("office/README.md", addresses);
    const hub = lab.host("hub");
    const stack = await openProgram(lab, { stack: "office", stackFile });
    const { outputs } = await stack.up();
    const { endpoints } = outputs as { endpoints: Record<string, { ssh: { endpoint: string } }> };
    const ports = Object.values(endpoints).map(({ ssh }) => Number(ssh.endpoint.split(":")[1]));
    expect(new Set(ports).size).toBe(3);
    for (const port of ports) expect(port).toSatisfy((each: number) => each >= 20000 && each <= 20099);
    expect(await typed(hub, "alice", "ssh files hostname")).toBe("files");
    expect(await typed(hub, "admin", "ssh files-admin hostname")).toBe("files");
    expect(await typed(hub, "admin", "ssh till hostname")).toBe("till");
    expect(await typed(hub, "admin", "ssh camera-box hostname")).toBe("camera-box");

    const pid = async (name: string) =>
      (await lab.host(name).run(`systemctl show -P MainPID ssh-tunnel-${name}`)).stdout;
    const before = [await pid("files"), await pid("camera-box")];
    const withoutTill = await readFile(stackFile, "utf8");
    await writeFile(stackFile, withoutTill.replace(/^ {4}till:\n(?: {5,}.*\n| *#.*\n)*/m, ""));
    const smaller = await openProgram(lab, { stack: "office", stackFile });
    await smaller.up();
    expect([await pid("files"), await pid("camera-box")]).toEqual(before);
    expect((await hub.run("getent passwd tunnel-till", { allowFailure: true })).stdout).toBe("");
    expect(await typed(hub, "alice", "ssh files hostname")).toBe("files");
    await smaller.destroy();
    expect((await hub.run("ls -d /var/lib/ssh-reverse-tunnel", { allowFailure: true })).stdout).toBe("");
  });

  it("open a site whose public host another stack manages, and only once that one is up", async () => {
    const addresses = { "203.0.113.10": "hub", "192.0.2.20": "files" };
    const open = async (stack: string) =>
      openProgram(lab, {
        stack,
        stackFile: await settingsFor(`many-stacks/Pulumi.${stack}.yaml`, addresses),
        // One state for both, as a reference to a stack needs.
        directory: join(folder, "many-stacks"),
      });
    const [manager, site] = [await open("public"), await open("site-1")];
    await expect(site.preview()).rejects.toThrow(
      "it has no outputs yet; run 'pulumi up' in that stack first",
    );
    await manager.up();
    await site.up();
    expect(await typed(lab.host("hub"), "alice", "ssh site-1 'hostname; id -un'")).toBe("files\nalice");
    await site.destroy();
    await manager.destroy();
  });

  it("make a web application public, from a separate program that imports the built package", async () => {
    await exec("npm", ["run", "--silent", "build"], { timeoutSeconds: 120 });
    const module = (await import(example("web-app/index.ts"))) as { default: () => Record<string, unknown> };
    const [gate, server] = [lab.host("hub"), lab.host("till")];
    await server.run("mkdir -p /srv/app && echo the app >/srv/app/index.html");
    await server.run("systemd-run --quiet --unit app busybox httpd -f -p 127.0.0.1:3000 -h /srv/app");
    const stack = await openStack({
      project: "web-app",
      stack: "dev",
      program: () => Promise.resolve(module.default()),
      directory: join(folder, "web-app"),
      config: {
        gate: { address: gate.address, hostKey: gate.hostKey },
        appServer: { address: server.address, hostKey: server.hostKey },
        publicPort: "8080",
        appPort: "3000",
      },
    });
    await stack.setSecret("adminKey", await readFile(lab.adminKeyFile, "utf8"));
    const { outputs } = await stack.up();
    expect(outputs.url).toBe(`http://${gate.address}:8080`);
    expect(await (await fetch(`http://${gate.address}:8080/`)).text()).toBe("the app\n");
    for (const host of [gate, server]) {
      const { stdout } = await host.run("cat /var/lib/ssh-reverse-tunnel/web-app-dev/.stack-id");
      expect(stdout, host.name).toMatch(/^[0-9a-f]{16}$/);
    }
    await stack.destroy();
  });
});

/** A proxy that knows CONNECT, and nothing else. */
const proxy = `
import asyncio

async def relay(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def serve(reader, writer):
    method, target, _ = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split(" ", 2)
    assert method == "CONNECT"
    host, port = target.rsplit(":", 1)
    there = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    await asyncio.gather(relay(reader, there[1]), relay(there[0], writer))

async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 3128) as server:
        await server.serve_forever()

asyncio.run(main())
`;
