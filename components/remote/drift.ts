import * as pulumi from "@pulumi/pulumi";
import { fingerprintOf } from "./fingerprint.ts";
import type { HostLook } from "./look.ts";

/**
 * For each record on a host, a value that changes when a look has found drift there: it is in the header of the commands of
 * that record, so they are planned again, until they have succeeded.
 *
 * The values are in the stack's state, in a `pulumi.Stash`. What the look has found nothing about is in `ignoreChanges`, so
 * the engine keeps the value that it has.
 *
 * @param tools the name of the command that installs the host's tools, which has no record
 */
export function driftOf(
  name: string,
  look: HostLook,
  tools: string,
  parent: pulumi.Resource,
): pulumi.Output<Record<string, string>> {
  const found = changedValues(look, tools);
  const kept = [...look.records, tools].filter((record) => !Object.hasOwn(found, record));
  // A record that has been removed since its drift was found is not among these, and its value is nobody's business any more.
  const findsNothing = look.error !== undefined || Object.keys(found).length === 0;
  const stash = new pulumi.Stash(
    name,
    { input: found },
    {
      parent,
      ignoreChanges: findsNothing ? ["input"] : kept.map((record) => `input[${JSON.stringify(record)}]`),
    },
  );
  for (const words of warningsOf(look)) void pulumi.log.warn(words, parent);
  return stash.input.apply((values) => values as Record<string, string>);
}

function changedValues({ records, drift, lacksTools }: HostLook, tools: string): Record<string, string> {
  const values = Object.entries(drift).map(([record, { value }]) => [record, value]);
  // Nothing can be looked at without them, so everything there runs again.
  const all = lacksTools
    ? [...records, tools].map((record) => [record, fingerprintOf(`without tools ${Date.now()}`)])
    : [];
  return Object.fromEntries([...values, ...all]) as Record<string, string>;
}

/** What a look has found, a sentence each. */
export function warningsOf({ label, error, notes, drift, lacksTools }: HostLook): string[] {
  if (error !== undefined)
    return [`${label} ${error}; its drift is unknown, and what is planned for it stays as it is`];
  return [
    ...(lacksTools
      ? [
          `${label}: the tools of this project are missing or changed, so nothing else can be looked at and everything runs again there`,
        ]
      : []),
    ...Object.entries(drift).flatMap(([record, { findings }]) =>
      findings.map((words) => `${label}: ${words} (${record})`),
    ),
    ...notes.map((text) => `not looked at: ${text}`),
  ];
}
