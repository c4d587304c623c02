import { scriptText } from "../../../components/remoteScript.ts";
import type { LabStack } from "../../../lab/stack.ts";
import { parseCommand } from "../../../tools/scriptText.ts";

/** One script of a stack, with the library that it reads from the host's tools. */
export interface RemoteScript {
  /** The name of its resource. */
  name: string;
  /** The name of its host. */
  host: string;
  stdin: string;
  /** What it printed: its result. */
  stdout: string;
  /** The names of the scripts that come before it. */
  after: string[];
}

interface Resource {
  urn: string;
  type: string;
  inputs?: { stdin?: string };
  outputs?: { stdout?: string };
  dependencies?: string[];
}

/** Every script of the stack, each after those that it depends on. */
export async function remoteScripts(stack: LabStack): Promise<RemoteScript[]> {
  const { deployment } = (await stack.export()) as unknown as { deployment: { resources: Resource[] } };
  return deployment.resources
    .filter(({ type }) => type === "command:remote:Command")
    .map(({ urn, inputs, outputs, dependencies = [] }) => ({
      name: nameOf(urn),
      host: /^HOST='(\S+) /m.exec(inputs?.stdin ?? "")?.[1] ?? "",
      stdin: wholeText(inputs?.stdin ?? ""),
      stdout: outputs?.stdout ?? "",
      after: dependencies.map(nameOf),
    }));
}

const nameOf = (urn: string) => urn.split("::").pop() ?? "";

function wholeText(stdin: string): string {
  const { common, parts } = parseCommand(stdin);
  return scriptText(common, parts);
}
