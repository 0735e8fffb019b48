"""Where the packages lie: `kernels/` and `export/` are installed inside `imagen_fast`.

Everything else about the distribution is in pyproject.toml. The list of packages is computed,
because a list that forgets one works in editable mode and fails from the wheel.
"""

from setuptools import find_packages, setup

PLACES = {"imagen_fast.kernels": "kernels", "imagen_fast.export": "export"}

packages = find_packages(include=["imagen_fast", "imagen_fast.*"])
for package, folder in PLACES.items():
    packages.append(package)
    packages.extend(f"{package}.{name}" for name in find_packages(folder))

setup(packages=packages, package_dir={"imagen_fast": "imagen_fast", **PLACES})
