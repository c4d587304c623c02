import { expect, test } from "vitest";
import { account, tunnelAccount } from "../../components/parts/account/account.ts";
import { partOf } from "../support/partOf.ts";

test("an account is a part with its name, its group, its home and its shell", async () => {
  const args = { account: "tunnel-nas", group: "ssh-tunnel", home: "/", shell: "/bin/sh" };
  expect(await partOf(() => account(args))).toEqual({
    script: "account",
    values: { ACCOUNT: "tunnel-nas", GROUP: "ssh-tunnel", HOME_DIR: "/", LOGIN_SHELL: "/bin/sh" },
  });
});

test("a tunnel's account is named after it", () => {
  expect(tunnelAccount("nas")).toBe("tunnel-nas");
});
