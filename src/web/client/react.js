// The hooks of hooks.js for the package `react`.
import * as React from "react";
import { createHooks } from "./hooks.js";

export const { useLive, useSuspenseLive, useStatus, useUser } = createHooks(React);
