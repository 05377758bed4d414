/** Containers, if a Docker engine answers and has their image, or can fetch it in time. */
import type { StartedTestContainer } from 'testcontainers';

/** The time that a registry without an answer may take; less than a hook has. */
const patience = 45_000;

/** Asks testcontainers, which supports DOCKER_HOST, contexts, rootless engines and more. */
export async function dockerAnswers(): Promise<boolean> {
  if (process.env['WALWATCH_TEST_DOCKER'] === 'off') return false;
  const { getContainerRuntimeClient } = await import('testcontainers');
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
}

/** The container; or undefined and one line with the reason if it cannot be started. */
export async function tryContainer<Container extends StartedTestContainer>(
  image: string,
  start: () => Promise<Container>,
): Promise<Container | undefined> {
  const starting = start();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not there after ${patience / 1000} s`)), patience);
  });
  try {
    return await Promise.race([starting, late]);
  } catch (error) {
    const [why] = String((error as Error).message)
      .trim()
      .split('\n');
    console.warn(
      `Docker answers, but cannot start a container of ${image} (${why}): the tests start a server themselves`,
    );
    // The test files of this run inherit it, and need not try again.
    process.env['WALWATCH_TEST_DOCKER'] = 'off';
    void starting.then((container) => container.stop()).catch(() => {}); // it has failed, or comes too late
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
