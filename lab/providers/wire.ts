import messages from "@pulumi/pulumi/proto/provider_pb.js";
import structMessages from "google-protobuf/google/protobuf/struct_pb.js";
import type { Changes, Properties } from "./values.ts";

type Struct = structMessages.Struct;

/** The changed properties by path, and which of these paths require a replacement. */
export interface Difference {
  changes: Changes;
  replaces: string[];
  /** Leave out the paths, and pass only the names of the properties to the engine. */
  terse?: boolean;
}

/** A difference in the engine's terms. */
export function diffResponse(difference: Difference): messages.DiffResponse {
  const { Kind } = messages.PropertyDiff;
  const response = new messages.DiffResponse().setHasdetaileddiff(difference.terse !== true);
  for (const [path, change] of difference.terse ? [] : difference.changes) {
    const replaces = difference.replaces.includes(path);
    const kinds = {
      add: replaces ? Kind.ADD_REPLACE : Kind.ADD,
      delete: replaces ? Kind.DELETE_REPLACE : Kind.DELETE,
      update: replaces ? Kind.UPDATE_REPLACE : Kind.UPDATE,
    };
    response.getDetaileddiffMap().set(path, new messages.PropertyDiff().setKind(kinds[change]));
  }
  const heads = (paths: Iterable<string>) => [
    ...new Set([...paths].map((path) => path.split(/[.[]/)[0] ?? path)),
  ];
  const { DIFF_SOME, DIFF_NONE } = messages.DiffResponse.DiffChanges;
  return response
    .setChanges(difference.changes.size > 0 ? DIFF_SOME : DIFF_NONE)
    .setDiffsList(heads(difference.changes.keys()))
    .setReplacesList(heads(difference.replaces));
}

/** Properties from a message. */
export function properties(from: Struct | undefined): Properties {
  return from?.toJavaScript() ?? {};
}

/** Properties for a message. */
export function struct(from: Properties): Struct {
  const known = Object.entries(from).filter(([, value]) => value !== undefined);
  return structMessages.Struct.fromJavaScript(
    Object.fromEntries(known) as Parameters<typeof structMessages.Struct.fromJavaScript>[0],
  );
}

/** `urn:pulumi:stack::project::parent$type::name` → `type`. */
export function typeOf(urn: string): string {
  return urn.split("::")[2]?.split("$").at(-1) ?? "";
}

/** `urn:pulumi:stack::project::type::name` → `name`. */
export function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}
