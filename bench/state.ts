import type { LabStack } from "../lab/stack.ts";

/** The size of Pulumi's state. */
export interface State {
  /** In the format of `pulumi stack export`, without white space. */
  bytes: number;
  /** Including the stack itself, providers and components. */
  resources: number;
}

/** The size of a stack's state. */
export async function stateOf(stack: LabStack): Promise<State> {
  const state = await stack.export();
  const { resources = [] } = state.deployment as { resources?: unknown[] };
  return { bytes: Buffer.byteLength(JSON.stringify(state)), resources: resources.length };
}
