import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { healthCheck } from "../../components/parts/healthCheck/healthCheck.ts";
import { fingerprintOfScript } from "../../components/remote/remoteComponent.ts";
import { nas } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { onePart } from "../support/onePart.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { runScript, testScript } from "../support/shells.ts";

// The owner of the records on a host: the library as it is sent, run on this machine in a temporary folder.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stack-id-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const records = () => join(folder, "state/owner");
const idFile = () => join(records(), ".stack-id");
const file = () => join(folder, "config");
const id = () => (existsSync(idFile()) ? readFileSync(idFile(), "utf8") : undefined);

/** A resource whose line is its name, in a file that all share. */
function run(verb: "apply" | "remove", stackId: string, resource = "a", change = (script: string) => script) {
  const values = { RESOURCE: resource, FILE: file(), LINE: resource, KEY: "", MARKER: "" };
  const script = testScript("addLine", join(folder, "state"), { ...values, STACK_ID: stackId });
  const { stderr, status } = runScript(["sh"], change(script), verb);
  return status === 0 ? stderr.replace(/: .*/s, "") : stderr;
}

describe("the id of a stack on a host", () => {
  test("exists from the first record to the last, and is not a record", () => {
    expect(run("apply", "one")).toBe("changed");
    expect(run("apply", "one", "b")).toBe("changed");
    expect(id()).toBe("one\n");
    expect(readdirSync(records()).sort()).toEqual([".stack-id", "a", "b"]);
    expect(run("apply", "one")).toBe("unchanged");
    expect(run("remove", "one")).toBe("changed");
    expect(id()).toBe("one\n");
    expect(run("remove", "one", "b")).toBe("changed");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("prevents changes and removals by another state, with an error message", () => {
    run("apply", "one");
    const others = "error: gate: the things of the stack owner on this host belong to another Pulumi state";
    const before = readFileSync(join(records(), "a"), "utf8");
    for (const resource of ["a", "b"]) {
      expect(run("apply", "two", resource)).toBe(
        `${others}, and nothing was changed; choose another stack name, or, if that state is lost for good, remove ${idFile()} on the host and run 'pulumi up' again, which takes them over\n`,
      );
      expect(run("remove", "two", resource)).toBe(
        `${others}, and nothing was removed; 'pulumi stack rm --force' makes this state forget them\n`,
      );
    }
    expect(readFileSync(file(), "utf8")).toBe("a\n");
    expect(readdirSync(records()).sort()).toEqual([".stack-id", "a"]);
    expect(readFileSync(join(records(), "a"), "utf8")).toBe(before);
  });

  test("can be removed, and the next state then takes over everything", () => {
    run("apply", "one");
    rmSync(idFile());
    expect(run("apply", "two")).toBe("unchanged");
    expect(id()).toBe("two\n");
    expect(run("remove", "one")).toContain("belong to another Pulumi state");
  });

  test("is added at the next apply to records that have none", () => {
    run("apply", "");
    expect(id()).toBeUndefined();
    expect(run("apply", "one")).toBe("unchanged");
    expect(id()).toBe("one\n");
  });

  test("is not required by a script that has none itself", () => {
    run("apply", "one");
    expect(run("apply", "")).toBe("unchanged");
    expect(id()).toBe("one\n");
    expect(run("remove", "")).toBe("changed");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("binds nobody without a record, which is what a run leaves that is killed before its first one", () => {
    const killed = (script: string) =>
      script.replace("keep_stack_id\n    printf", () => "keep_stack_id\n    kill -KILL $$; printf");
    run("apply", "one", "a", killed);
    expect(readdirSync(records())).toEqual([".stack-id"]);
    expect(run("apply", "two")).toBe("changed");
    expect(id()).toBe("two\n");
  });

  test("leaves nothing if the first record cannot be written", () => {
    const full = (script: string) =>
      script.replace("keep_stack_id\n    printf", "keep_stack_id\n    false && printf");
    expect(run("apply", "one", "a", full)).toContain("error: gate: cannot write");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("does not apply to stacks of other names", () => {
    mkdirSync(join(folder, "state/other"), { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, "state/other/.stack-id"), "two\n");
    expect(run("apply", "one")).toBe("changed");
    expect(run("remove", "one")).toBe("changed");
    expect(readFileSync(join(folder, "state/other/.stack-id"), "utf8")).toBe("two\n");
  });

  test("does not cause restarts", async () => {
    const fingerprint = async (host: object, forward = "ssh") => {
      const args = { tunnel: "nas", forwards: [`${forward},127.0.0.1,2222,ssh,127.0.0.1,22,loopback`] };
      const { result } = await record(() => {
        const part = healthCheck({ host: nas, ...args });
        return promiseOf(fingerprintOfScript(onePart("nas-health", { ...nas, ...host }, part)));
      });
      return result;
    };
    const first = await fingerprint({});
    expect(await fingerprint({ stackId: "one" })).toBe(first);
    expect(await fingerprint({ stackId: "two", revision: "2" })).toBe(first);
    expect(await fingerprint({ stackId: "two" }, "web")).not.toBe(first);
  });
});
