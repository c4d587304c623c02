// @ts-check
import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "dist.new/", "node_modules/", ".lab/"] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["*.config.js", "main.js", "policies/*.cjs", "tools/*.js"] },
      },
    },
    rules: {
      // An Output in a template string prints the source of a function: this rule finds it.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "no-restricted-properties": [
        "error",
        ...["generateKeyPair", "generateKeyPairSync"].map((property) => ({
          property,
          message:
            "That of ssh2 makes an unreadable ed25519 key once in 256 (mscdex/ssh2#1390): use newSshKey.",
        })),
      ],
    },
  },
  {
    files: ["*.config.js", "main.js", "policies/*.cjs", "tools/*.js"],
    ...tseslint.configs.disableTypeChecked,
  },
);
