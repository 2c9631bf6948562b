# What the wheels of Kilted are called, from the list for Jazzy; see CONTRIBUTING.md.
s/^ros-jazzy-/ros-kilted-/
s/^ros-\(rmw-fastrtps-cpp\|ament-package\)==.*/ros-kilted-\1/
s/^ros-kilted-python-cmake-module$/ros-kilted-ament-cmake-ros-core/
