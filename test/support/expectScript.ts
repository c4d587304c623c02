import { expect } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import type { Recording } from "../../tools/mocks.ts";

/** The differences between scripts. */
export interface ExpectedScript {
  /** Class and name of the component that runs it. */
  component: [type: string, name: string];
  /** Name of the script. */
  script: string;
  /** HOST: the host as messages name it. */
  host: string;
  /** WHAT: what the script manages, for messages. */
  what: string;
  /** The script's own variables. */
  values: Record<string, string>;
  /** Whether it has something to undo. @default true */
  removes?: boolean;
}

/** Expects a component that is one script and nothing else, with these values and no others in its header. */
export function expectOneScript(recording: Recording, expected: ExpectedScript): void {
  const [type, name] = expected.component;
  expect(recording.childrenOf(recording.component(type, name))).toEqual([`Command ${name}-script`]);
  expectScript(recording, `${name}-script`, `${name}-script`, expected);
}

/**
 * Expects a component that is one script, which runs twice: the second time over a new connection, to confirm the
 * change. Both use one record, which the first removes.
 */
export function expectTrial(
  recording: Recording,
  trial: { name: string; seconds: string },
  expected: ExpectedScript,
): void {
  const [type, name] = expected.component;
  expect(recording.childrenOf(recording.component(type, name))).toEqual([
    `Command ${name}-change`,
    `Command ${name}-confirm`,
  ]);
  expect(recording.command(`${name}-confirm`).waitsFor).toContain(`${name}-change`);
  const values = {
    ...expected.values,
    TRIAL: trial.name,
    TRIAL_SECONDS: trial.seconds,
    ROLL_BACK: installed("rollBack"),
  };
  const change = { ...expected, values: { ...values, CONFIRM: "no" } };
  const confirm = { ...expected, values: { ...values, CONFIRM: "yes" }, removes: false };
  expectScript(recording, `${name}-change`, name, change);
  expectScript(recording, `${name}-confirm`, name, confirm);
}

function expectScript(
  recording: Recording,
  name: string,
  resource: string,
  { script, host, what, values, removes = true }: ExpectedScript,
): void {
  const command = recording.command(name);
  expect({ script: command.script, values: command.values }).toEqual({
    script,
    values: {
      HOST: host,
      OWNER: "ssh-reverse-tunnel-dev",
      STACK_ID: "",
      RESOURCE: resource,
      WHAT: what,
      REVISION: "",
      ...values,
    },
  });
  expect("delete" in command.inputs).toBe(removes);
}

/** The text of a program of shell/programs, as it is sent. */
export function installed(program: string): string {
  return readProgram(program);
}

const common = ["HOST", "OWNER", "STACK_ID", "RESOURCE", "WHAT", "REVISION"];

/** Values of a script without those that every script has. */
export function ownValues(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !common.includes(name)));
}
