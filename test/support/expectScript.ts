import { expect } from "vitest";
import type { Recording } from "./mocks.ts";

/** What differs from one script to another. */
export interface ExpectedScript {
  /** Class and name of the component that runs it. */
  component: [type: string, name: string];
  /** Name of the script. */
  script: string;
  /** HOST: the host as messages name it. */
  host: string;
  /** WHAT: what the script takes care of, for messages. */
  what: string;
  /** Its own variables. */
  values: Record<string, string>;
}

/** Expects a component that is one script and nothing else, with these values and no others in its header. */
export function expectOneScript(
  recording: Recording,
  { component, script, ...expected }: ExpectedScript,
): void {
  const [type, name] = component;
  expect(recording.childrenOf(recording.component(type, name))).toEqual([`Command ${name}-script`]);
  const command = recording.command(`${name}-script`);
  expect({ script: command.script, values: command.values }).toEqual({
    script,
    values: {
      HOST: expected.host,
      OWNER: "ssh-reverse-tunnel-dev",
      RESOURCE: `${name}-script`,
      WHAT: expected.what,
      REVISION: "",
      ...expected.values,
    },
  });
}

const common = ["HOST", "OWNER", "RESOURCE", "WHAT", "REVISION"];

/** Values of a script without those that every script has. */
export function ownValues(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !common.includes(name)));
}
