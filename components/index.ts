export {
  adminConnection,
  type AdminConnection,
  type AdminLogin,
  throughTunnel,
} from "./settings/adminConnection.ts";
export type { Forward, ForwardArgs } from "./settings/forward.ts";
export type { Host } from "./remote/host.ts";
export { type HostLook, type LookedAt, lookForDrift, type RecordDrift } from "./remote/look.ts";
export { InternalHost, type InternalHostArgs } from "./internalHost.ts";
export {
  type KeepAlive,
  type KeepAliveArgs,
  type KeepAlivePreset,
  keepAlivePresets,
} from "./settings/keepAlive.ts";
export { PublicHost, type PublicHostArgs } from "./publicHost.ts";
export { type Endpoint, ReverseTunnel } from "./reverseTunnel.ts";
export type { LoginArgs, ReverseTunnelArgs } from "./tunnelPlan.ts";
