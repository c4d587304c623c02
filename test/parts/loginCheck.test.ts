import { expect, test } from "vitest";
import { loginCheck } from "../../components/parts/loginCheck/loginCheck.ts";
import { partOf } from "../support/partOf.ts";

const logins = [
  { from: "root", alias: "nas", forward: "ssh" },
  { from: "First.Last", alias: "my.nas", forward: "alt" },
];

test("the check of the logins is a part with who types which command, and the forward that it goes through", async () => {
  expect(await partOf(() => loginCheck({ logins, inside: "nas" }))).toEqual({
    script: "loginCheck",
    values: { LOGINS: "root,nas,ssh First.Last,my.nas,alt", INSIDE: "nas", PATIENCE: "30" },
  });
});

test("the check of the logins waits as long as its setting says", async () => {
  const { values } = await partOf(() => loginCheck({ logins, inside: "nas", timeoutSec: 90 }));
  expect(values).toMatchObject({ PATIENCE: "90" });
});
