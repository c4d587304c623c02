import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { authorizedKey } from "../../components/parts/authorizedKey/authorizedKey.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { onePart } from "../support/onePart.ts";
import { type Claim, CrashTrial, type Finding } from "./support/crashTrial.ts";
import { prepareCuts } from "./support/cuts.ts";
import { leftovers } from "./support/leftovers.ts";
import { type RemoteScript, onOneHost, remoteScripts } from "./support/remoteScripts.ts";
import { tunnelSettings } from "./support/settings.ts";
import { chosen, everything, sometimes } from "./support/sample.ts";
import { sshAsUser } from "./support/ssh.ts";

/**
 * Every script of a whole stack, killed with SIGKILL right before and right after each of its steps, in apply and in
 * remove; `make test` takes a sample of these. See support/cuts.ts for what a step is, and support/crashTrial.ts for what
 * is done at each.
 */
describe(`a script that is killed before or after any of its steps (${chosen})`, () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;
  let whole: Record<string, Snapshot>;
  const trials: CrashTrial[] = [];

  beforeAll(async () => {
    lab = await Lab.up({ name: "crash", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    await Promise.all([gate, nas].map((host) => host.run(aLifeOfItsOwn)));
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
    await stack.up();
    whole = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    const scripts = await remoteScripts(stack, onOneHost);
    await removeAll(scripts);
    await Promise.all([gate, nas].map(prepareCuts));
    await tryAll(scripts);
  }, 2_700_000);

  afterAll(async () => {
    await lab?.down();
  });

  const removeAll = async (scripts: RemoteScript[]) => {
    for (const { host, stdin } of [...scripts].reverse()) {
      await lab.host(host).run("sh -s -- remove", { input: stdin });
    }
  };

  /** Host by host, each script after those that it depends on. */
  async function tryAll(scripts: RemoteScript[]): Promise<void> {
    const done = new Map<string, Promise<void>>();
    const busy: Record<string, Promise<void>> = {};
    /** Keys are created again, so whatever depends on one must get the new one. */
    const renewed = new Map<string, string>();
    for (const group of groupsOf(scripts)) {
      const { host = "", after } = { host: group[0]?.host, after: group.flatMap(({ after }) => after) };
      const others = [busy[host], ...after.map((name) => done.get(name))].filter(
        (other) => other !== undefined,
      );
      const all = Promise.all(others).then(async () => {
        const now = group.map((script) => ({ ...script, stdin: replaceAll(script.stdin, renewed) }));
        const trial = new CrashTrial(lab.host(host), now, () => mayLogIn(host));
        trials.push(trial);
        await trial.run();
        for (const { name, stdout } of group) {
          const now = keysIn(trial.results[name] ?? "");
          for (const [which, was] of Object.entries(keysIn(stdout))) {
            if (now[which]) renewed.set(was, now[which]);
          }
        }
      });
      busy[host] = all;
      for (const { name } of group) done.set(name, all);
    }
    await Promise.all(done.values());
  }

  /** A login that does not use an earlier connection. */
  const mayLogIn = async (host: string): Promise<boolean> =>
    (await sshAsUser(lab, "-o", "BatchMode=yes", "-o", "ConnectionAttempts=5", host, "true")).exitCode === 0;

  const found = (claim: Claim): Finding[] =>
    trials.flatMap(({ findings }) => findings).filter((finding) => finding.claim === claim);

  it("is killed at each of hundreds of points, in every script that changes something", () => {
    const cuts = trials.flatMap(({ cuts }) => Object.entries(cuts));
    expect(cuts.filter(([, number]) => number === 0)).toEqual([]);
    const all = cuts.reduce((sum, [, number]) => sum + number, 0);
    expect(all).toBeGreaterThan(250);
    const tried = trials.reduce((sum, { tried }) => sum + tried, 0);
    if (everything) expect(tried).toBe(all);
    else expect(tried).toBeGreaterThan(30);
  });

  it("leaves the admin able to log in at that moment", () => {
    expect(found("login")).toEqual([]);
  });

  it("leaves each file in its old or in its new state", () => {
    expect(found("whole files")).toEqual([]);
  });

  it("is completed by the next up, which has the same result as one without interruption", () => {
    expect(found("next up")).toEqual([]);
  });

  it("is removed without a trace", () => {
    expect(found("removal")).toEqual([]);
  });

  sometimes.describe("after all these crashes", () => {
    it("the tunnel is the same as after a first up, and it works", async () => {
      await stack.setConfig({ revision: "2" }); // the keys differ
      await stack.up();
      expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
      for (const host of [gate, nas]) {
        const changes = await host.changesSince(whole[host.name]!);
        expect(changes.filter((line) => !/ \((content|mtime)\)$/.test(line))).toEqual([]);
      }
    });

    it("destroy leaves nothing of that tunnel", async () => {
      await stack.destroy();
      for (const host of [gate, nas]) expect(await leftovers(host, before[host.name]!)).toEqual([]);
    });

    it("the next up also completes the work in a home that belongs to root", async () => {
      await nas.run("useradd --create-home bob && chown root:root /home/bob");
      const key = { name: "key", account: "bob", publicKey: nas.hostKey, options: ["restrict"] };
      const keys = await openStack({
        project: "p",
        stack: "keys",
        program: () => Promise.resolve(void onePart("key", hostWithTools(lab, nas), authorizedKey(key))),
        directory: `${lab.directory}/stacks/keys`,
      });
      await keys.up();
      const scripts = await remoteScripts(keys);
      await removeAll(scripts);
      const trial = new CrashTrial(nas, scripts, () => mayLogIn("nas"));
      await trial.run();
      expect(trial.findings).toEqual([]);
      expect((await nas.run("stat -c %U /home/bob/.ssh")).stdout).toBe("bob");
    });
  });
});

/** Files without a final newline or with a difficult beginning, and an sshd_config without Include. */
const aLifeOfItsOwn = `
  printf '# no newline at the end of this line' >>/root/.ssh/authorized_keys
  printf 'Host *\\n    ForwardAgent no\\n' >/root/.ssh/config
  sed -i '/^Include/d' /etc/ssh/sshd_config
  systemctl reload ssh
`;

/** A change and its confirmation are one thing in two scripts. */
function groupsOf(scripts: RemoteScript[]): RemoteScript[][] {
  const groups: Record<string, RemoteScript[]> = {};
  for (const script of scripts) {
    // One only checks, and the other has nothing of its own.
    if (/-facts-script$|-finish$/.test(script.name)) continue;
    (groups[script.name.replace(/-(change|confirm)$/, "")] ??= []).push(script);
  }
  return Object.values(groups);
}

/** The public keys that a script has printed, by account and file. */
function keysIn(stdout: string): Record<string, string> {
  const lines = [...stdout.matchAll(/^key (\S+) \S+ (\S+)/gm)];
  return Object.fromEntries(lines.map(([, which = "", key = ""]) => [which, key]));
}

function replaceAll(text: string, words: Map<string, string>): string {
  let replaced = text;
  for (const [was, is] of words) replaced = replaced.replaceAll(was, is);
  return replaced;
}
