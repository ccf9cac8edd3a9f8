/** The mini-program's tracker as a file that is copied into a project: `const { newTracker } = require("./xunji")`. */

import { newTracker } from "./index";

declare const module: { exports: unknown };

module.exports = { newTracker };
