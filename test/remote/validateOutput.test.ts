import { expect, test } from "vitest";
import { printedLine } from "../../components/remote/validateOutput.ts";

test.each([
  ["is the last one that begins as expected", "port web 1\nport web 2\nport ssh 3", "port web 2"],
  [
    "is shown with what the admin's shell printed on it",
    "Welcome,port web 1\nport ssh 3",
    "Welcome,port web 1",
  ],
  ["is the last of all if none is as expected", "Welcome\nto gate", "to gate"],
])("The line of the answer %s", (_, text, line) => {
  expect(printedLine(text, "port web ")).toBe(line);
});
