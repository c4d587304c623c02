import { expect, test } from "vitest";
import { endSessions } from "../../components/parts/endSessions/endSessions.ts";

test("the sessions of an account are ended by its name", () => {
  expect(endSessions({ account: "tunnel-nas" })).toEqual({
    script: "endSessions",
    values: { ACCOUNT: "tunnel-nas" },
  });
  expect(() => endSessions({ account: "a b" })).toThrow("a b");
});
