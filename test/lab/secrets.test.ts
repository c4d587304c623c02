import { randomBytes } from "node:crypto";
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack, Result } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { type Found, sampleHost, sampleMachine, type Sampler, STOP_ON_HOST } from "./support/sampler.ts";

/**
 * The whole life of a stack with secrets of every kind, while samplers look on both hosts and on this machine as fast
 * as they can: in command lines, environments, files and journals, in the engine's output and in its state.
 */
describe("while a stack with secrets goes up, goes up again, fails and is destroyed,", () => {
  const secret = (what: string) => `${what}-${randomBytes(12).toString("hex")}`;
  const password = secret("password");
  const keyPassword = secret("password-of-a-key");
  const passphrase = secret("passphrase");
  const canary = secret("canary");

  let lab: Lab;
  const began = `@${Math.floor(Date.now() / 1000)}`;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let up: Result;
  /** One line of each secret from the settings. */
  let given: string[];
  /** And one line of each key that a host generated. */
  let made: string[];
  let shown = "";
  /** As the engine stores it, and with the secrets in plain text. */
  let state: string;
  let plainState: string;
  let files: Record<string, string[]>;
  let journals: string[];
  let modes: string[];
  const found: Record<string, Found> = {};
  const passphraseBefore = process.env.PULUMI_CONFIG_PASSPHRASE;

  /** A line of a private key that no other key has. */
  const lineOf = (key: string) => key.split("\n").filter((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line))[2]!;
  const keyFiles = "find / -xdev -path '*/ssh-reverse-tunnel/*.key' -type f";

  beforeAll(async () => {
    lab = await Lab.up({ name: "secrets", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    const encryptedFile = join(lab.directory, "encrypted_key");
    await copyFile(lab.adminKeyFile, encryptedFile);
    await exec("ssh-keygen", ["-q", "-p", "-P", "", "-N", keyPassword, "-f", encryptedFile]);
    const [key, encrypted] = [
      await readFile(lab.adminKeyFile, "utf8"),
      await readFile(encryptedFile, "utf8"),
    ];
    await nas.run("chpasswd", { input: `admin:${password}` });
    await nas.run(
      "printf 'Match User admin\\n    PasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/50-own.conf && systemctl reload ssh",
    );
    given = [lineOf(key), lineOf(encrypted), password, keyPassword];

    process.env.PULUMI_CONFIG_PASSPHRASE = passphrase;
    stack = await openProgram(lab, {
      config: {
        publicHosts: { gate: { address: gate.address, admin: { hostKey: gate.hostKey } } },
        internalHosts: {
          nas: {
            address: nas.address,
            admin: {
              user: "admin",
              hostKey: nas.hostKey,
              bastion: { address: gate.address, user: "alice", hostKey: gate.hostKey },
            },
            forwards: { ssh: { remotePort: 2222, target: 22 } },
            logins: [{ from: "alice", to: "admin" }],
          },
        },
      },
      onOutput: (text) => (shown += text),
      onEvent: (event) => (shown += JSON.stringify(event)),
    });
    // The stack has it now, and what the lab starts itself does not need it.
    if (passphraseBefore === undefined) delete process.env.PULUMI_CONFIG_PASSPHRASE;
    else process.env.PULUMI_CONFIG_PASSPHRASE = passphraseBefore;
    await stack.setSecret("publicHosts.gate.admin.privateKey", key, true);
    await stack.setSecret("internalHosts.nas.admin.password", password, true);
    await stack.setSecret("internalHosts.nas.admin.bastion.privateKey", encrypted, true);
    await stack.setSecret("internalHosts.nas.admin.bastion.passphrase", keyPassword, true);
    const texts = [...given, passphrase, canary];
    const samplers: Record<string, Sampler> = {
      // Every OpenSSH private key begins with the same base64, including those that a host generates.
      gate: sampleHost(gate, [...texts, "b3BlbnNzaC1rZXktdjE"]),
      nas: sampleHost(nas, [...texts, "b3BlbnNzaC1rZXktdjE"]),
      machine: sampleMachine(lab, "machine", texts),
    };
    const canaries = [gate, nas].map(plant);

    up = await stack.up();
    [made, modes] = [[], []];
    for (const host of [gate, nas]) {
      const keys = (await host.run(`${keyFiles} -exec cat {} +`)).stdout;
      modes.push((await host.run(`${keyFiles} -exec stat -c '%a %U' {} +`)).stdout);
      made.push(...keys.split("-----END OPENSSH PRIVATE KEY-----").slice(0, -1).map(lineOf));
    }
    await stack.setConfig({ revision: "2" });
    const again = await stack.up();
    shown += [up, again].map((result) => JSON.stringify(result)).join("\n");
    await gate.run("systemd-run --quiet --collect --unit squatter python3 -m http.server 2300");
    await stack.setConfig({ internalHosts: await withPort(2300) });
    shown += await failedUp(stack);
    await gate.run("systemctl stop squatter");
    state = JSON.stringify(await stack.export());
    plainState = JSON.stringify(await stack.automation.exportStack());
    files = { gate: await filesOf(gate), nas: await filesOf(nas), machine: await filesHere() };
    await stack.destroy();
    journals = await Promise.all([gate, nas].map(journalOf));

    for (const [name, sampler] of Object.entries(samplers)) found[name] = await sampler.stop();
    await Promise.all(canaries);
  }, 2_400_000);

  afterAll(() => Lab.clear("secrets"));

  /** The unchanged settings of the internal host, with secrets encrypted, and another port. */
  const withPort = async (remotePort: number) => {
    const { config = {} } = await stack.automation.workspace.stackSettings(stack.automation.name);
    const hosts = config["ssh-reverse-tunnel:internalHosts"] as unknown as { nas: object };
    return { nas: { ...hosts.nas, forwards: { ssh: { remotePort, target: 22 } } } };
  };

  /** Puts the canary wherever something could be found, until the sampler ends. */
  const plant = (host: Host) =>
    host.run(
      `read -r canary
printf '%s' "$canary" >/tmp/canary
logger "$canary"
wait='until [ -e ${STOP_ON_HOST} ]; do sleep 0.2; done'
sh -c "$wait" "$canary" &
VARIABLE=$canary sh -c "$wait" &
wait
rm /tmp/canary`,
      { input: `${canary}\n`, timeoutSeconds: 1800 },
    );

  const filesWith = "grep -rlasF -D skip -f -";
  const paths = (stdout: string) => stdout.split("\n").filter(Boolean).sort();
  const filesOf = async (host: Host) => {
    const everywhere = "--exclude-dir=proc --exclude-dir=sys --exclude-dir=dev /";
    const input = [...given, ...made, passphrase].join("\n");
    return paths((await host.run(`${filesWith} ${everywhere}`, { input, allowFailure: true })).stdout);
  };
  /** Those written since the beginning; the hosts' own disks are searched from within. */
  const filesHere = async () => {
    const { workDir, pulumiHome = "" } = stack.automation.workspace;
    const folders = ["/tmp", "/var/tmp", "/run", workDir, pulumiHome, lab.directory];
    const fresh = ["-name", "hosts", "-prune", "-o", "-type", "f", "-newermt", began, "-print0"];
    // Other programs may have filled /tmp.
    const patient = { allowFailure: true, timeoutSeconds: 1800 };
    const { stdout } = await exec("find", [...folders, ...fresh], patient);
    const written = [...new Set(stdout.split("\0").filter(Boolean))];
    const input = [...given, ...made, passphrase].join("\n");
    return paths((await exec("grep", ["-lasF", "-f", "-", "--", ...written], { input, ...patient })).stdout);
  };

  /** The content of the journal, cut down to what is searched for. */
  const journalOf = async (host: Host) =>
    (await host.run("journalctl --sync; journalctl -q -o export --no-pager", { allowFailure: true })).stdout;

  const secrets = () => [...given, ...made, passphrase];
  const without = (text: string) => secrets().filter((each) => text.includes(each));
  const inProcesses = (name: string) => found[name]!.hits.filter(({ path }) => path.startsWith("/proc/"));
  const whereCanary = (name: string) =>
    new Set(
      found[name]!.hits.filter(({ text }) => text === canary).map(({ path }) => path.replace(/\d+/, "N")),
    );

  it("each sampler looks hundreds of times, and finds the decoys that were placed for it", () => {
    for (const name of ["gate", "nas"]) {
      expect(whereCanary(name)).toEqual(new Set(["/proc/N/cmdline", "/proc/N/environ", "/tmp/canary"]));
      expect(found[name]!.rounds).toBeGreaterThan(200);
    }
    expect(whereCanary("machine")).toEqual(new Set(["/proc/N/cmdline", "/proc/N/environ"]));
    expect(found.machine!.rounds).toBeGreaterThan(100);
    expect(made).toHaveLength(2);
    expect(new Set(secrets()).size).toBe(7);
  });

  it.each(["gate", "nas", "machine"])(
    "no secret is in a command line or an environment, at any moment, on %s",
    (name) => {
      const hits = inProcesses(name).filter(({ text }) => ![canary, passphrase].includes(text));
      expect(hits).toEqual([]);
    },
  );

  it("the passphrase is in the environment of the engine, which reads it from there, and of its child processes", () => {
    const hits = Object.keys(found).flatMap(inProcesses);
    const holders = hits.filter(({ text }) => text === passphrase);
    expect(new Set(holders.map(({ path }) => path.replace(/\d+/, "N")))).toEqual(
      new Set(["/proc/N/environ"]),
    );
    expect(holders.map(({ what }) => what)).toContain("pulumi");
    // A process that has ended since has no name any more.
    for (const { what } of holders) expect(what).toMatch(/^(|pulumi.*|node.*|MainThread|sh|dirname)$/);
    for (const name of ["gate", "nas"]) {
      expect(found[name]!.hits.filter(({ text }) => text === passphrase)).toEqual([]);
    }
  });

  it.each(["gate", "nas"])("no secret is in a volatile file, at any moment, on %s", (name) => {
    const hits = found[name]!.hits.filter(({ what }) => what === "file");
    expect(hits.filter(({ text }) => text !== canary)).toEqual([]);
  });

  it("a key made on a host is in its own file there, for its account only, and nowhere else on any host", () => {
    expect(files.gate).toEqual(["/home/alice/.ssh/ssh-reverse-tunnel/nas.key"]);
    expect(files.nas).toEqual(["/var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel/nas.key"]);
    expect(modes).toEqual(["600 alice", "600 tunnel-nas"]);
  });

  it("no secret is in a file on this machine except in the two that hold it for the test", () => {
    expect(files.machine).toEqual(["admin_key", "encrypted_key"].map((name) => join(lab.directory, name)));
  });

  it("no secret is in the engine's output, in its events or in the stack's outputs", () => {
    expect(shown).toContain("gate-server-change");
    expect(shown).toContain("port 2300 of the forward 'ssh' is in use by python3");
    expect(without(shown)).toEqual([]);
  });

  it("no secret is in plain text in the state, and no private key made on a host is there even encrypted", () => {
    expect(without(state)).toEqual([]);
    expect(plainState).toContain(password);
    expect(made.filter((line) => plainState.includes(line))).toEqual([]);
  });

  it("no secret is in a journal, although it reports logins with each of them", () => {
    const [atGate, atNas] = journals;
    expect(atGate).toContain("Accepted publickey for root");
    expect(atGate).toContain("Accepted publickey for alice");
    expect(atNas).toContain("Accepted password for admin");
    for (const journal of journals) {
      expect(journal).toContain(canary);
      expect(without(journal)).toEqual([]);
    }
  });
});
