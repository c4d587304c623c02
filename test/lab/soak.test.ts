import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { leftovers } from "./support/leftovers.ts";
import { sample, sometimes } from "./support/sample.ts";
import { summary } from "./support/soak/downTime.ts";
import type { Claim, Finding } from "./support/soak/judge.ts";
import { kindNames } from "./support/soak/kinds.ts";
import { PROOF_SECONDS, planOf } from "./support/soak/plan.ts";
import { Soak } from "./support/soak/soak.ts";
import { installTargets, soakSettings, targetNames, usedForwards } from "./support/soak/targets.ts";

const INTERNAL = ["nas", "shop", "till"];

/**
 * `make soak MINUTES=60 SEED=7`, by default with a different seed each time. `make test` has time for some faults, and
 * its sample is the seed: different ones for each commit.
 */
const minutes = Number(process.env["MINUTES"] || 1.5);
const seed = Number(process.env["SEED"] || sample);
/** The time for one round of every kind of fault. */
const ROUND = 5;
if (!(minutes >= 1.5)) throw new Error("MINUTES must be 1.5 or more, which one fault may take.");
const again = `MINUTES=${minutes} SEED=${seed}`;

/**
 * Three tunnels in constant use, and faults of every kind. The same seed gives the same faults at the same times. What
 * is asserted for each fault is in judge.ts and census.ts.
 */
describe(`tunnels in use during ${minutes} minutes of faults (${again})`, () => {
  const plan = planOf(seed, minutes * 60 - PROOF_SECONDS, INTERNAL, targetNames);
  let lab: Lab;
  let gate: Host;
  let hosts: Host[];
  let stack: LabStack;
  let before: Snapshot[];
  let soak: Soak;
  let findings: Finding[] = [];
  const say = (line: string) => console.log(line);
  const of = (claim: Claim) => findings.filter((each) => each.claim === claim).map(({ text }) => text);

  beforeAll(
    async () => {
      lab = await Lab.up({ name: "soak", hosts: ["gate", ...INTERNAL] });
      gate = lab.host("gate");
      hosts = INTERNAL.map((name) => lab.host(name));
      await Promise.all(hosts.map(installTargets));
      before = await Promise.all([gate, ...hosts].map((host) => host.snapshot()));
      stack = await openProgram(lab, { config: soakSettings(lab, gate, hosts) });
      await stack.up();
      say(`soak: ${again}`);
      soak = await Soak.begin(gate, hosts, say);
      try {
        findings = await soak.run(plan);
      } finally {
        for (const line of ["", ...summary(soak.outcomes), `${soak.answered} requests answered`, again])
          say(line);
      }
    },
    minutes * 60_000 + 300_000,
  );

  afterAll(async () => {
    // A host may be off if a fault was interrupted.
    await soak?.end().catch(() => undefined);
    await Lab.clear("soak");
  });

  it("meet every kind of fault, if there is time for one of each", () => {
    expect(plan.length).toBeGreaterThan(0);
    if (minutes >= ROUND) expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(kindNames));
    expect(of("real fault"), again).toEqual([]);
  });

  it("are back within the bound of each fault after it ends", () => {
    expect(of("back in time"), again).toEqual([]);
  });

  it("continue without an error and without a restart if the fault does not affect them", () => {
    expect(of("others carry on"), again).toEqual([]);
  });

  it("never carry a byte that was not sent", () => {
    expect(soak.answered).toBeGreaterThan(usedForwards(hosts).length * minutes * 60);
    expect(of("no false byte"), again).toEqual([]);
  });

  it("leave no process, session, socket, listener, open file or failed unit behind after any fault", () => {
    expect(of("no leak"), again).toEqual([]);
  });

  sometimes.it(
    "would be reported for not coming back, for a neighbour's restart and for what they leave behind",
    async () => {
      const [nas, shop] = hosts as [Host, Host];
      const folder = "/run/systemd/system/ssh-tunnel-nas.service.d";
      const text = "[Service]\\nRestart=no\\n";
      await nas.run(`mkdir ${folder}; printf '${text}' >${folder}/soak.conf; systemctl daemon-reload`);
      say("The soak must complain of this:");
      const found = await soak.once(
        { at: 0, kind: "killed client", host: "nas", forward: "ssh", seconds: 0 },
        {
          meanwhile: async () => {
            await shop.run("systemctl restart ssh-tunnel-shop");
            await gate.run(leaveBehind(usedForwards(hosts).at(-1)!.port));
          },
          afterwards: () =>
            nas.run(`rm -r ${folder}; systemctl daemon-reload; systemctl start ssh-tunnel-nas`),
        },
      );
      await gate.run(clearUp);
      const texts = found.map(({ claim, text }) => `${claim}: ${text}`);
      for (const forward of targetNames) {
        expect(texts).toContainEqual(
          expect.stringContaining(`back in time: forward ${forward} of nas has not come back`),
        );
        expect(texts).toContainEqual(
          expect.stringContaining(
            `others carry on: forward ${forward} of shop: a long-lived connection broke`,
          ),
        );
      }
      expect(texts).toContain("others carry on: the tunnel shop was started anew");
      for (const left of [
        "listeners: 127.0.0.1:9999 is too many",
        "processes: tunnel-till /usr/bin/busybox httpd -f -p 127.0.0.1:9999 is too many",
        "connections: 127.0.0.1:22 is too many",
        "failed units: broken.service is too many",
        "volatile: /run/left is too many",
      ]) {
        expect(texts).toContain(`no leak: gate: ${left}`);
      }
      // The connection that hangs in a forward is an open file at both ends of its tunnel.
      expect(texts).toContainEqual(
        expect.stringMatching(/no leak: gate: tunnel-till sshd: .* has \d+ open files/),
      );
      expect(texts).toContainEqual(
        expect.stringMatching(/no leak: till: tunnel-till ssh .* has \d+ open files/),
      );
      expect(texts.join("\n")).not.toMatch(/of till/);
    },
  );

  sometimes.it("leave nothing after destroy", async () => {
    await soak.end();
    await stack.destroy();
    for (const [index, host] of [gate, ...hosts].entries()) {
      expect(await leftovers(host, before[index]!), `left on ${host.name}`).toEqual([]);
    }
  });
});

/** What a tunnel might leave on the public host: a listener, a dead login, a connection that hangs in a forward. */
// Several connections: there may have been requests in the tunnel when its open files were counted first.
const leaveBehind = (port: number) => `
  systemd-run --quiet --uid tunnel-till --unit left-listener busybox httpd -f -p 127.0.0.1:9999
  systemd-run --quiet --unit left-login sh -c 'sleep 600 | busybox nc 127.0.0.1 22'
  for each in 1 2 3 4 5; do
    systemd-run --quiet --unit "left-connection-$each" sh -c 'sleep 600 | busybox nc 127.0.0.1 ${port}'
  done
  systemd-run --quiet --unit broken false
  touch /run/left`;

const clearUp = "systemctl stop 'left-*'; systemctl reset-failed; rm /run/left";
