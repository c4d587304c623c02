import { expect, test } from "vitest";
import { takenBack } from "../../components/remote/host.ts";
import { gate } from "../support/hosts.ts";

test.each([
  [undefined, "a minute"],
  [60, "a minute"],
  [61, "2 minutes"],
  [180, "3 minutes"],
])("a host whose trials take %s seconds rolls back a change within %s", (trialSec, time) => {
  expect(takenBack({ ...gate, trialSec }, "sshd")).toBe(
    `if the change to sshd prevents it, the host rolls it back by itself within ${time}`,
  );
});
