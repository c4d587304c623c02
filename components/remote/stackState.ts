import * as pulumi from "@pulumi/pulumi";
import type { StackOutputs } from "../settings/managedBy.ts";

/**
 * What the state has of the stack's resources before this run, by their URNs. The engine's own provider answers this,
 * without a connection to any host; it is what `getStackResourceOutputs` is in other languages.
 */
export async function readStackState(): Promise<Record<string, { outputs?: Record<string, unknown> }>> {
  const { outputs } = (await pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {
    stackName: fullStackName(),
  })) as { outputs: Record<string, { outputs?: Record<string, unknown> }> };
  return outputs;
}

/** With the organization and the project. The Automation API's programs have no organization; there is only one then. */
function fullStackName(): string {
  try {
    return `${pulumi.getOrganization()}/${pulumi.getProject()}/${pulumi.getStack()}`;
  } catch {
    return pulumi.getStack();
  }
}

/**
 * The outputs of another stack of this backend, by the name that a `pulumi.StackReference` takes. That resource reads
 * them with the same function of the engine, but its error would end the program without a word about what to do.
 */
export async function readStackOutputs(name: string): Promise<StackOutputs> {
  if (isThisStack(name)) return { error: "it is this stack itself, in which 'managedBy' must be left out" };
  try {
    const { outputs } = (await pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", { name })) as {
      outputs?: Record<string, unknown>;
    };
    return { outputs: pulumi.runtime.unwrapRpcSecret(outputs ?? {}) as Record<string, unknown> };
  } catch (error) {
    const [, reason] = /returned an error: (.*)/s.exec((error as Error).message) ?? [];
    return { error: reason || (error as Error).message };
  }
}

/** What a name leaves out, the organization or the project, is this stack's. */
function isThisStack(name: string): boolean {
  const parts = name.split("/");
  const [organization, ...rest] = fullStackName().split("/");
  return (
    parts.at(-1) === pulumi.getStack() &&
    (parts.length < 3 || parts[1] === pulumi.getProject()) &&
    (parts.length < 2 || rest.length === 0 || parts[0] === organization)
  );
}
