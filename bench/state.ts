import type { LabStack } from "../lab/stack.ts";

/** The size of what Pulumi keeps about what it has made. */
export interface State {
  /** As `pulumi stack export` has it, without white space. */
  bytes: number;
  /** The stack itself, providers and components among them. */
  resources: number;
}

/** The size of a stack's state. */
export async function stateOf(stack: LabStack): Promise<State> {
  const state = await stack.export();
  const { resources = [] } = state.deployment as { resources?: unknown[] };
  return { bytes: Buffer.byteLength(JSON.stringify(state)), resources: resources.length };
}
