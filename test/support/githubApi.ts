import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

interface Entry {
  id: number;
  body: string;
  user: { type: string };
}
interface Issue extends Entry {
  number: number;
  title: string;
  state: string;
  labels: { name: string }[];
  comments: Entry[];
  pull_request?: object;
}

/**
 * The part of GitHub's REST API that has issues and comments, over HTTP: https://docs.github.com/rest/issues. Everything is
 * written by a bot, as with the token of a workflow.
 */
export class GitHubApi {
  readonly issues: Issue[] = [];
  /** Every request: "POST /repos/me/tunnels/issues". */
  readonly requests: string[] = [];
  /** What it answers to everything that would write, instead of doing it. */
  refuse: { status: number; message: string } | undefined;
  private id = 1000;
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const answer = (status: number, body: unknown) => {
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      };
      const { method = "", url = "" } = request;
      const { pathname, searchParams } = new URL(url, "http://github");
      this.requests.push(`${method} ${pathname}`);
      if (request.headers.authorization !== "Bearer a-token")
        return answer(401, { message: "Bad credentials" });
      if (method !== "GET" && this.refuse) return answer(this.refuse.status, this.refuse);
      const text = Buffer.concat(chunks).toString();
      const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
      const found = this.answer(method, pathname, searchParams, body);
      return found === undefined ? answer(404, { message: "Not Found" }) : answer(200, found);
    });
  });

  static async start(): Promise<GitHubApi> {
    const api = new GitHubApi();
    await new Promise<void>((resolve) => api.server.listen(0, "127.0.0.1", resolve));
    return api;
  }

  /** The variables of a job whose token may write. */
  get env(): Record<string, string> {
    return {
      GITHUB_API_URL: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
      GITHUB_SERVER_URL: "https://github.example",
      GITHUB_REPOSITORY: "me/tunnels",
      GITHUB_RUN_ID: "42",
      GITHUB_TOKEN: "a-token",
    };
  }

  /** An issue, or a pull request, that exists already. */
  add(issue: Partial<Issue>): Issue {
    const number = this.issues.length + 1;
    const made = {
      ...{ id: this.id++, number, title: "", body: "", state: "open", labels: [], comments: [] },
      ...{ user: { type: "User" }, ...issue },
    };
    this.issues.push(made);
    return made;
  }

  comment(issue: Issue, body: string, type = "Bot"): Entry {
    const made = { id: this.id++, body, user: { type } };
    issue.comments.push(made);
    return made;
  }

  close(): Promise<void> {
    return new Promise((resolve) => void this.server.close(() => resolve()));
  }

  private answer(
    method: string,
    path: string,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): unknown {
    const [, kind, number, below] =
      /^\/repos\/me\/tunnels\/issues(?:\/(comments|\d+)(?:\/(\d+|comments))?)?$/.exec(path) === null
        ? []
        : path.split("/").slice(3);
    if (kind === undefined) return undefined;
    const page = <T>(all: T[]): T[] => {
      const size = Number(query.get("per_page") ?? 30);
      const start = (Number(query.get("page") ?? 1) - 1) * size;
      return all.slice(start, start + size);
    };
    if (number === "comments") {
      const comment = this.issues.flatMap(({ comments }) => comments).find(({ id }) => String(id) === below);
      return method === "PATCH" && comment ? Object.assign(comment, body) : undefined;
    }
    if (number === undefined) {
      if (method === "POST") {
        const labels = (body.labels as string[] | undefined)?.map((name) => ({ name })) ?? [];
        return this.add({ ...body, labels, user: { type: "Bot" } });
      }
      const label = query.get("labels");
      const state = query.get("state") ?? "open";
      return page(
        this.issues.filter(
          (issue) =>
            issue.state === state && (label === null || issue.labels.some(({ name }) => name === label)),
        ),
      );
    }
    const issue = this.issues.find((each) => String(each.number) === number);
    if (!issue) return undefined;
    if (below === undefined) return method === "PATCH" ? Object.assign(issue, body) : issue;
    return method === "POST" ? this.comment(issue, body.body as string) : page(issue.comments);
  }
}
