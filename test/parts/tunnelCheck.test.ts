import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { text } from "node:stream/consumers";
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { tunnelCheck } from "../../components/parts/tunnelCheck/tunnelCheck.ts";
import { partOf } from "../support/partOf.ts";
import { partText } from "../../tools/parseCommand.ts";

const ssh = "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback";
const args = { forwards: [ssh], lookAt: "the journal", fingerprint: "abc" };

describe("the check of a tunnel", () => {
  test("is a part with the forwards, whether their ports are known yet or not", async () => {
    const web = "web,127.0.0.1,20345,tcp,fd00::5,80,all";
    expect(await partOf(() => tunnelCheck({ ...args, forwards: [ssh, pulumi.output(web)] }))).toEqual({
      script: "tunnelCheck",
      values: {
        FORWARDS: `${ssh} ${web}`,
        SECONDS_TO_WAIT: "30",
        LOOK_AT: "the journal",
        FINGERPRINT: "abc",
      },
    });
  });

  test("waits as long as its setting says", async () => {
    const { values } = await partOf(() => tunnelCheck({ ...args, timeoutSec: 90 }));
    expect(values).toMatchObject({ SECONDS_TO_WAIT: "90" });
  });
});

// While the tunnel is down, any program on the host may be what answers there.
test.each([
  ["escapes and commands of a CI", "SSH-2.0-x\u001b[2J\u009b1m\r\n::stop-commands::x\n", "SSH-2.0-x?[2J??1m"],
  ["a line without an end", "SSH-2.0-" + "y".repeat(1_000_000), `SSH-2.0-${"y".repeat(192)}`],
])(
  "a target that answers with %s is printed as one short line of plain text",
  async (_what, banner, printed) => {
    const server = createServer((socket) => socket.on("error", () => {}).write(banner)).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const script = spawn("sh", ["-s", "--", "apply"]);
    script.stdin.end(
      partText("tunnelCheck", {
        ...{ HOST: "gate", OWNER: "p-s", STACK_ID: "", RESOURCE: "check", WHAT: "each forward works" },
        ...{
          FORWARDS: `ssh,127.0.0.1,${port},ssh,127.0.0.1,22,loopback`,
          SECONDS_TO_WAIT: "20",
          LOOK_AT: "it",
        },
      }),
    );
    const [stdout, stderr] = await Promise.all([text(script.stdout), text(script.stderr)]);
    server.close();
    expect(stdout).toBe("");
    expect(stderr).toBe(
      `works: gate: forward 'ssh' on 127.0.0.1:${port}: ${printed}\nunchanged: gate: each forward works\n`,
    );
  },
);
