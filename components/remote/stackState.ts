import * as pulumi from "@pulumi/pulumi";

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
