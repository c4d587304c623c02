import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { authorizedKey } from "../../components/parts/authorizedKey/authorizedKey.ts";
import program from "../../index.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools, openProgram } from "../../lab/program.ts";
import { onePart } from "../support/onePart.ts";
import { Attacked, plantSecrets } from "./support/attacked.ts";
import { type RemoteScript, onOneHost, remoteScripts } from "./support/remoteScripts.ts";
import { tunnelSettings } from "./support/settings.ts";

// How often a script runs, on both hosts together. Set ROUNDS and SEED in the environment for a longer search by hand.
const rounds = Number(process.env["ROUNDS"] ?? 100);
const seed = Number(process.env["SEED"] ?? 20260101);

/** Whether an account's part of a change on trial is backed up and restored by that account. */
const TRIALS = true;

/** Between two checks of what the account has obtained. */
const RUNS_BETWEEN_LOOKS = 8;

/**
 * The accounts that the scripts work for, as attackers: while root's scripts run, a program of the account swaps
 * folders, files and links below its home, as fast as it can and right after somebody has looked at them. See
 * support/attacker.py for what it does, and support/attacked.ts for what must be true.
 */
describe(`an account that attacks the scripts that work below its home (SEED=${seed} ROUNDS=${rounds})`, () => {
  let lab: Lab;
  let hosts: Attacked[];

  beforeAll(async () => {
    lab = await Lab.up({ name: "attack", hosts: ["gate", "nas"] });
    const [gate, nas] = [lab.host("gate"), lab.host("nas")];
    const tokens = await Promise.all([gate, nas].map(plantSecrets));
    const settings = tunnelSettings(lab, gate, nas, {
      nas: { account: "alice" },
      logins: [{ from: "alice", to: "alice" }],
    });
    const stack = await openProgram(lab, {
      config: settings,
      program: () => {
        keyOfAlice(lab, gate, nas);
        return Promise.resolve(program());
      },
    });
    await stack.up();
    const scripts = (await remoteScripts(stack, onOneHost)).filter(isForAlice);
    hosts = [gate, nas].map((host, index) => {
      const own = scripts.filter((script) => script.host === host.name);
      return new Attacked(host, own, tokens[index]!, seed + index, attacker);
    });
    await Promise.all(hosts.map((host) => host.prepare()));
    await Promise.all(hosts.map((host) => host.attack(Math.ceil(rounds / 2), RUNS_BETWEEN_LOOKS, TRIALS)));
    for (const host of hosts) console.log(host.summary());
  }, 3_600_000);

  afterAll(() => Lab.clear("attack"));

  const found = (claim: string) =>
    hosts.flatMap(({ findings }) => findings).filter((finding) => finding.startsWith(claim));

  it("attacks every script that works there, on the public and on the internal host", () => {
    const names = hosts.flatMap((host) => host.ranScripts());
    for (const stage of ["alice-key", "login-keys", "settle", "prepare", "start"]) {
      expect(names.filter((name) => name.includes(stage)).length, stage).toBeGreaterThan(0);
    }
  });

  it("reads nothing that it could not read before", () => {
    expect(found("readable")).toEqual([]);
  });

  it("changes nothing that it could not change before", () => {
    expect(found("changed")).toEqual([]);
  });

  it("has nothing on record except what the scripts do for it", () => {
    expect(found("record")).toEqual([]);
  });

  it("finds no file of root's open in the steps that run as the account", () => {
    expect(found("open")).toEqual([]);
  });

  it("can at worst make a script fail with an error message", () => {
    expect(found("status")).toEqual([]);
  });

  it("cannot hang a script", () => {
    expect(found("hang")).toEqual([]);
  });

  it("cannot block a script by keeping open what the steps that run as the account write to", async () => {
    expect((await Promise.all(hosts.map((host) => host.holdOpen()))).flat()).toEqual([]);
  }, 1_200_000);

  it("cannot prevent a complete apply and a complete removal once it has stopped", async () => {
    expect((await Promise.all(hosts.map((host) => host.goOnInPeace()))).flat()).toEqual([]);
  });
});

const attacker = readFileSync(fileURLToPath(new URL("support/attacker.py", import.meta.url)), "utf8");

/** Admits the host's own key: all that matters here is that it works below a home on gate. */
function keyOfAlice(lab: Lab, gate: Host, nas: Host): void {
  onePart(
    "alice-key",
    // The same tools as those of the tunnel: others would take their place.
    hostWithTools(lab, gate, "alice-tools", false),
    authorizedKey({
      name: "alice-key",
      account: "alice",
      publicKey: nas.hostKey,
      options: ["restrict"],
    }),
  );
}

const isForAlice = ({ stdin }: RemoteScript) => /^ACCOUNT='?alice'?$/m.test(stdin);
