/** The measured operations, in the order of the tables. */
export interface Operation {
  id: "first" | "again" | "preview" | "more" | "moreOnly" | "port" | "portOnly" | "removal";
  title: string;
  /** The operation whose figures are used for a contender that has none for this one. */
  like?: Operation["id"];
}

export const OPERATIONS: Operation[] = [
  { id: "first", title: "first" },
  { id: "again", title: "nothing to do" },
  { id: "preview", title: "preview" },
  { id: "more", title: "one more host" },
  { id: "moreOnly", title: "one more host, `--limit`", like: "more" },
  { id: "port", title: "one changed port" },
  { id: "portOnly", title: "one changed port, `--limit`", like: "port" },
  { id: "removal", title: "removal" },
];
