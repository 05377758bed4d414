// A typedoc plugin: every exported function and class has an @example.
import { Converter, ReflectionKind } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of project.getReflectionsByKind(ReflectionKind.Function | ReflectionKind.Class)) {
      // The comment of a function belongs to its signatures.
      const signatures = reflection.isDeclaration() ? (reflection.signatures ?? []) : [];
      if (![reflection, ...signatures].some(({ comment }) => comment?.getTag('@example')))
        app.logger.warn(`${reflection.getFriendlyFullName()} has no @example`);
    }
  });
}
