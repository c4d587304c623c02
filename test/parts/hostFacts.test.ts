import { describe, expect, test } from "vitest";
import { HostFacts } from "../../components/parts/hostFacts/hostFacts.ts";
import { rootShells } from "../../components/remote/rootShell.ts";
import { expectOneScript, ownValues } from "../support/expectScript.ts";
import { gate, gateKeys, nas } from "../support/hosts.ts";
import { hostKeysOf, record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { runScript, shells } from "../support/shells.ts";

describe("the check of a host", () => {
  test("is one script, which is told whether tunnels end on the host", async () => {
    expect.hasAssertions();
    const recording = await record(() => new HostFacts("gate-facts", { host: gate, needsServer: true }));
    expectOneScript(recording, {
      component: ["HostFacts", "gate-facts"],
      script: "hostFacts",
      host: "gate (198.18.0.2)",
      what: "the host can be managed",
      removes: false,
      values: { NEEDS_SERVER: "yes", ROOT_SHELLS: rootShells.join("\n") },
    });
  });

  test("does not look for an SSH server on an internal host", async () => {
    const recording = await record(() => new HostFacts("nas-facts", { host: nas, needsServer: false }));
    expect(ownValues(recording.command("nas-facts-script").values)).toMatchObject({ NEEDS_SERVER: "no" });
  });

  test("runs without sudo, since it explains what to do if sudo is missing", async () => {
    const recording = await record(() => new HostFacts("nas-facts", { host: nas, needsServer: false }));
    expect(recording.command("nas-facts-script").inputs).toMatchObject({
      create: "/bin/sh -s -- apply",
      update: "/bin/sh -s -- apply",
    });
  });

  test("returns the way to become root that the host printed, and does not take that line for a key", async () => {
    const strict = { ...nas, name: "strict" };
    const { result } = await record(() => new HostFacts("facts", { host: strict, needsServer: false }));
    expect(await promiseOf(result.rootShell)).toBe(rootShells.at(-1));
    expect(await promiseOf(result.hostKeys)).toEqual(hostKeysOf("strict (198.18.0.3)"));
  });

  test("returns plain sudo if the host printed no way, because its admin is root or an older version looked", async () => {
    const { result } = await record(() => new HostFacts("facts", { host: gate, needsServer: true }));
    expect(await promiseOf(result.rootShell)).toBe("sudo -n sh -s --");
  });

  test("returns the host keys that the host printed, one per line", async () => {
    const { result } = await record(() => new HostFacts("gate-facts", { host: gate, needsServer: true }));
    expect(await promiseOf(result.hostKeys)).toEqual(gateKeys);
  });

  test.each([
    ["ed25519 ecdsa", ""],
    ["ecdsa", "key-types ecdsa\n"],
  ])("returns the types of keys that its sshd accepts: %s", async (types, line) => {
    const answers = {
      hostFacts: () => `root-shell ${rootShells.at(-1)}\n${line}${gateKeys.join("\n")}`,
    };
    const make = () => new HostFacts("facts", { host: gate, needsServer: true });
    const { result } = await record(make, false, answers);
    expect(await promiseOf(result.keyTypes)).toBe(types);
    expect(await promiseOf(result.hostKeys)).toEqual(gateKeys);
  });

  test("does not take a greeting of the admin's login shell for a key", async () => {
    const chatty = { ...nas, name: "chatty" };
    const { result } = await record(() => new HostFacts("facts", { host: chatty, needsServer: false }));
    expect(await promiseOf(result.hostKeys)).toEqual(hostKeysOf("chatty (198.18.0.3)"));
  });

  test("does not know the host keys in the preview of a first deployment, and does not guess them", async () => {
    const { result } = await record(
      () => new HostFacts("gate-facts", { host: gate, needsServer: true }),
      true,
    );
    expect(await promiseOf(result.hostKeys)).toBeUndefined();
  });
});

describe.each(shells)("the types of keys that a host's sshd accepts, read in %s,", (_name, shell) => {
  const look = (accepted: string, needsServer = "yes") => {
    const hostFacts = readScript("hostFacts").replace(/^main "\$@"\n$/m, "");
    const text = `HOST=gate NEEDS_SERVER=${needsServer}
      ${[readScript("messages"), readScript("printable"), hostFacts].join("\n")}
      set -eu
      print_key_types ${shellQuote(accepted)}`;
    return runScript(shell, text);
  };
  const neither = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp384,rsa-sha2-512";

  test("are printed only if ed25519 is not among them, as in FIPS mode", () => {
    for (const accepted of ["", "ssh-ed25519", "rsa-sha2-512,ssh-ed25519,ecdsa-sha2-nistp256"]) {
      expect(look(accepted)).toEqual({ stdout: "", stderr: "", status: 0 });
    }
    expect(look("rsa-sha2-512,ecdsa-sha2-nistp256").stdout).toBe("key-types ecdsa\n");
  });

  test("are an error on a public host if neither ed25519 nor ecdsa is among them", () => {
    expect(look(neither)).toEqual({
      stdout: "",
      stderr: `error: gate: sshd accepts neither ed25519 nor ecdsa keys of users here (PubkeyAcceptedAlgorithms ${neither}); add ssh-ed25519 or ecdsa-sha2-nistp256 to them in sshd's configuration\n`,
      status: 3,
    });
  });

  test("are no error on an internal host, where a login back is then refused by itself", () => {
    expect(look(neither, "no")).toEqual({ stdout: "", stderr: "", status: 0 });
  });
});
