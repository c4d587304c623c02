import { expect, test } from "vitest";
import { Account } from "../components/index.ts";
import { expectOneScript } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";

const args = { host: gate, account: "tunnel-nas", group: "ssh-tunnel", home: "/", shell: "/bin/sh" };

test("an account is one script with its name, its group, its home and its shell", async () => {
  expect.hasAssertions();
  const recording = await record(() => new Account("nas-account", args));
  expectOneScript(recording, {
    component: ["Account", "nas-account"],
    script: "account",
    host: "gate (198.18.0.2)",
    what: "the account tunnel-nas",
    values: { ACCOUNT: "tunnel-nas", GROUP: "ssh-tunnel", HOME_DIR: "/", LOGIN_SHELL: "/bin/sh" },
  });
});
